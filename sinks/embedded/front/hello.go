//go:build !noengine && (linux || darwin) && (amd64 || arm64)

package front

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
)

// helloStatement is what clickhouse-go asks first on every connection. The answer comes in the revision that the
// request names; its own revision column decides how the driver reads everything later.
const helloStatement = "SELECT displayName(), version(), revision(), timezone()"

func (s *Server) readHello() error {
	ses, err := s.Library.Open("--path=" + s.Path)
	if err != nil {
		return err
	}
	defer ses.Close()
	_, err = ses.Query("SELECT version(), timezone()", "TabSeparated", nil, func(b []byte) error {
		s.hello.version, s.hello.timezone, _ = strings.Cut(strings.TrimSpace(string(b)), "\t")
		return nil
	})
	if err == nil && s.hello.timezone == "" {
		err = fmt.Errorf("the engine does not tell its version and time zone")
	}
	return err
}

func (s *Server) sayHello(out *output, rq *request) {
	revision, _ := strconv.Atoi(rq.query.Get("client_protocol_version")) // absent: 0, as older drivers ask
	var (
		name, version, zone proto.ColStr
		zero                proto.ColUInt32
		buf                 proto.Buffer
	)
	name.Append("sitedrift")
	version.Append(s.hello.version)
	zero.Append(0)
	zone.Append(s.hello.timezone)
	columns := []proto.InputColumn{
		{Name: "displayName()", Data: &name},
		{Name: "version()", Data: &version},
		{Name: "revision()", Data: &zero},
		{Name: "timezone()", Data: &zone},
	}
	block := proto.Block{Info: proto.BlockInfo{BucketNum: -1}, Columns: len(columns), Rows: 1}
	if err := block.EncodeBlock(&buf, revision, columns); err != nil {
		out.fail(err)
		return
	}
	if err := out.write(buf.Buf); err == nil {
		out.close()
	}
}
