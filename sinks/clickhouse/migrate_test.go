package clickhouse

import "testing"

func TestMigrate(t *testing.T) {
	w := openBare(t, nil)
	plan, err := w.Migrate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Log(len(plan.Steps))
	plan, err = w.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range plan.Steps {
		t.Errorf("unexpected step %+v", s)
	}
	for _, s := range plan.Refused {
		t.Errorf("refused %+v", s)
	}
}
