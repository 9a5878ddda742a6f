//go:build !noengine && (linux || darwin) && (amd64 || arm64)

package front

import "testing"

func TestOneStatementOnly(t *testing.T) {
	for sql, refused := range map[string]bool{
		"SELECT 1":                         false,
		"SELECT 1;":                        false,
		"SELECT 1 ; ;\n-- the end; really": false,
		"SELECT ';', `;` /* ; */ FROM t":   false,
		"SELECT $$a;b$$":                   false,
		"SELECT 1; SELECT 2":               true,
		"SELECT 1;SELECT 2;":               true,
		"SELECT ';';DROP TABLE t":          true,
		"SELECT 1 /* ; */; /* ; */ DROP t": true,
	} {
		if err := checkSingle(sql); (err != nil) != refused {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
