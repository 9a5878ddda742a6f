# The server image: one static binary, certificates, no shell, no root.
# The embedded engine needs a C library and is left out (-tags noengine): point
# warehouse.mode at a ClickHouse server.
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY collector collector
COPY config config
COPY schemas schemas
COPY sinks sinks
RUN CGO_ENABLED=0 go build -tags noengine -trimpath -o /out/sitedrift ./cmd/sitedrift
RUN mkdir -p /out/data/sitedrift /out/config/sitedrift && chmod 0700 /out/data/sitedrift

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 /out/data /var/lib
COPY --from=build /out/config /etc
COPY --from=build /out/sitedrift /usr/bin/sitedrift
COPY LICENSE NOTICE /usr/share/doc/sitedrift/
# Configuration and key below /etc/sitedrift, state in /var/lib/sitedrift.
ENV XDG_DATA_HOME=/var/lib XDG_CONFIG_HOME=/etc
VOLUME /var/lib/sitedrift
EXPOSE 9464
USER 65532:65532
ENTRYPOINT ["/usr/bin/sitedrift"]
CMD ["serve"]
