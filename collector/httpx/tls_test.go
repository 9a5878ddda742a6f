package httpx

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// TestCertificates: a server that cannot show that it is the pinned host is told
// of in clear words, and gets neither a token nor a second call.
func TestCertificates(t *testing.T) {
	ca := issue(t, nil, "Certificates of a test", time.Hour)
	trusted := x509.NewCertPool()
	trusted.AddCert(ca.Leaf)
	other := issue(t, nil, "Somebody", time.Hour)
	for name, test := range map[string]struct {
		certificate tls.Certificate
		newest      uint16
		want        string // in the error; empty: the call succeeds
	}{
		"right":       {issue(t, &ca, "localhost", time.Hour), tls.VersionTLS13, ""},
		"wrong host":  {issue(t, &ca, "other.example", time.Hour), tls.VersionTLS13, "certificate is valid for other.example, not localhost"},
		"expired":     {issue(t, &ca, "localhost", -time.Minute), tls.VersionTLS13, "certificate has expired"},
		"unknown":     {issue(t, &other, "localhost", time.Hour), tls.VersionTLS13, "certificate signed by unknown authority"},
		"self-signed": {issue(t, nil, "localhost", time.Hour), tls.VersionTLS13, "certificate"},
		"old TLS":     {issue(t, &ca, "localhost", time.Hour), tls.VersionTLS11, "protocol version"},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []string
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen = append(seen, r.Header.Get("Authorization"))
				_, _ = w.Write([]byte(`{}`))
			}))
			server.TLS = &tls.Config{Certificates: []tls.Certificate{test.certificate}, MinVersion: tls.VersionTLS10, MaxVersion: test.newest}
			server.Config.ErrorLog = zap.NewStdLog(zap.NewNop()) // it notes what clients refuse
			server.StartTLS()
			defer server.Close()
			transport := NewTransport(loopback)
			if transport.TLSClientConfig == nil {
				transport.TLSClientConfig = &tls.Config{}
			}
			transport.TLSClientConfig.RootCAs = trusted // all else is as in the product
			defer transport.CloseIdleConnections()
			waits := 0
			client, err := New(Options{
				Base: "https://localhost" + server.URL[strings.LastIndexByte(server.URL, ':'):], Auth: Bearer(canary), Transport: transport,
				Sleep: func(context.Context, time.Duration) error { waits++; return nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.Do(t.Context(), Request{Op: "list spaces", Ref: "/wiki"})
			if test.want == "" {
				if err != nil || len(seen) != 1 {
					t.Errorf("%v, %d calls", err, len(seen))
				}
				return
			}
			if ClassOf(err) != ClassNetwork || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), canary) {
				t.Errorf("error: %v", err)
			}
			if untrusted := (*tls.CertificateVerificationError)(nil); errors.As(err, &untrusted) && waits > 0 {
				t.Errorf("tried %d times more", waits)
			}
			if len(seen) > 0 {
				t.Errorf("%d calls arrived", len(seen))
			}
		})
	}
}

// issue makes a certificate for a host that ends after a time, by an authority or
// by itself.
func issue(t *testing.T, by *tls.Certificate, host string, lasts time.Duration) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lasts),
		IsCA: by == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	parent, signer := template, any(key)
	if by != nil {
		parent, signer = by.Leaf, by.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
