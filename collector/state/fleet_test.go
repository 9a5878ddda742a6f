package state_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver "pgx"
	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/schedule"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/collector/state/statetest"
	"github.com/sitedrift/sitedrift/schemas"
)

var (
	fleetFor       = flag.Duration("fleet.for", 40*time.Second, "how long BenchmarkReplicas runs")
	fleetKillEvery = flag.Duration("fleet.kill", 20*time.Second, "time between kills of a replica")
	fleetSchedules = flag.Int("fleet.schedules", 2000, "schedules, each due every five seconds")
	fleetReplicas  = flag.Int("fleet.replicas", 3, "replicas")
)

const (
	fleetCron  = "@every 5s"
	fleetEvery = 5 * time.Second
	// fleetVariable gives a process of the fleet its database.
	fleetVariable = "STATE_TEST_FLEET"
	fleetGroup    = "posture"
	// Most runs are short. Those of the tenants whose id ends so, one in ten, are long,
	// so that each kill finds some under way.
	fleetRunTakes, fleetLongRunTakes = 30 * time.Millisecond, time.Second
	fleetLongRun                     = "7"
)

// fleetTables note what is fired, inside the transaction that fires it, and what
// is run at once.
const fleetTables = `
CREATE TABLE fired (tenant TEXT, tick BIGINT, next BIGINT, at BIGINT);
CREATE TABLE began (tenant TEXT, at BIGINT);
CREATE TABLE overlapped (tenant TEXT);
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO fired VALUES (old.tenant, old.next_at, new.next_at, (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT); RETURN new;
END $$;
CREATE TRIGGER fire AFTER UPDATE OF next_at ON work FOR EACH ROW EXECUTE FUNCTION fire();`

// BenchmarkReplicas lets replicas, each a process, run schedules while one of them
// is killed every now and then and replaced by a new one, and another one is
// restarted in order in between. Every tick must be fired
// exactly once, or be stood for by the catch-up run after a death, and no tenant
// may be run twice at a time.
func BenchmarkReplicas(b *testing.B) {
	dsn := statetest.StartCluster(b).Database(b)
	store, err := state.OpenPostgres(b.Context(), dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	f := &fleet{b: b, dsn: dsn, db: db}
	f.exec(fleetTables)
	f.fill(store)
	for range *fleetReplicas {
		f.start()
	}
	began := time.Now()
	var takeovers []float64
	for n := 0; ; n++ {
		left := *fleetFor - time.Since(began)
		if left <= *fleetKillEvery {
			time.Sleep(max(left, 0))
			break
		}
		time.Sleep(*fleetKillEvery / 2)
		f.restart(0) // the one that is longest on
		time.Sleep(*fleetKillEvery / 2)
		takeovers = append(takeovers, f.kill(n%*fleetReplicas)...)
	}
	f.stop()
	f.judge(takeovers)
}

// fleet is the replicas of a benchmark.
type fleet struct {
	b     *testing.B
	dsn   string
	db    *sql.DB
	procs []*exec.Cmd
}

func (f *fleet) exec(statement string, args ...any) {
	f.b.Helper()
	if _, err := f.db.ExecContext(f.b.Context(), statement, args...); err != nil {
		f.b.Fatalf("%v\n%s", err, statement)
	}
}

// fill stores the tenants and their schedules.
func (f *fleet) fill(store *state.Store) {
	f.b.Helper()
	queue := make(chan string, *fleetSchedules)
	for i := range *fleetSchedules {
		queue <- fmt.Sprintf("t%d", i)
	}
	close(queue)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for id := range queue {
				next, err := schedule.NextStart(id, fleetGroup, fleetCron, time.Now().Add(fleetEvery), fleetEvery)
				if err == nil {
					err = store.PutTenant(f.b.Context(), collector.Tenant{ID: id})
				}
				if err == nil {
					err = store.PutSchedule(f.b.Context(), collector.Schedule{Tenant: id, Group: fleetGroup, Cron: fleetCron, NextAt: next})
				}
				if err != nil {
					f.b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	f.exec(`DELETE FROM fired`) // what is a first start and no tick
}

// start starts a replica.
func (f *fleet) start() {
	f.b.Helper()
	p := exec.Command(os.Args[0])
	p.Env = append(os.Environ(), fleetVariable+"="+f.dsn)
	p.Stderr = os.Stderr
	if err := p.Start(); err != nil {
		f.b.Fatal(err)
	}
	f.b.Cleanup(func() { _ = p.Process.Kill() })
	f.procs = append(f.procs, p)
}

// kill kills a replica and starts another one. It returns, in seconds, after how
// long each job that died with it was begun by somebody else.
func (f *fleet) kill(n int) (takeovers []float64) {
	f.b.Helper()
	p := f.procs[n]
	_ = p.Process.Kill()
	_ = p.Wait() // tells of the kill
	f.procs = slices.Delete(f.procs, n, n+1)
	at := time.Now().UnixMilli()
	rows, err := f.db.QueryContext(f.b.Context(), `SELECT tenant FROM lanes WHERE lease_owner = $1`, strconv.Itoa(p.Process.Pid))
	if err != nil {
		f.b.Fatal(err)
	}
	defer rows.Close()
	var held []string
	for rows.Next() {
		var tenant string
		if err := rows.Scan(&tenant); err != nil {
			f.b.Fatal(err)
		}
		held = append(held, tenant)
	}
	if err := rows.Err(); err != nil {
		f.b.Fatal(err)
	}
	f.start()
	for _, tenant := range held {
		for first := (sql.NullInt64{}); !first.Valid; time.Sleep(50 * time.Millisecond) {
			if err := f.db.QueryRowContext(f.b.Context(), `SELECT MIN(at) FROM began WHERE tenant = $1 AND at > $2`, tenant, at).Scan(&first); err != nil {
				f.b.Fatal(err)
			}
			if first.Valid {
				takeovers = append(takeovers, float64(first.Int64-at)/1000)
			}
		}
	}
	f.b.Logf("a replica was killed with %d jobs: %.1f s until they were begun again", len(held), takeovers)
	return takeovers
}

// restart replaces a replica in order.
func (f *fleet) restart(n int) {
	f.b.Helper()
	p := f.procs[n]
	f.procs = slices.Delete(f.procs, n, n+1)
	_ = p.Process.Signal(syscall.SIGTERM) // Wait tells if it is gone
	if err := p.Wait(); err != nil {
		f.b.Errorf("a replica that was to stop in order: %v", err)
	}
	f.start()
}

// stop ends the replicas in order.
func (f *fleet) stop() {
	for _, p := range f.procs {
		_ = p.Process.Signal(syscall.SIGTERM)
	}
	for _, p := range f.procs {
		if err := p.Wait(); err != nil {
			f.b.Error(err)
		}
	}
}

// judge reads what was fired: each start must be the one that the start before it set.
func (f *fleet) judge(takeovers []float64) {
	f.b.Helper()
	count := func(what string) (n int) {
		f.b.Helper()
		if err := f.db.QueryRowContext(f.b.Context(), `SELECT COUNT(*) FROM `+what).Scan(&n); err != nil {
			f.b.Fatal(err)
		}
		return n
	}
	const steps = `(SELECT *, LEAD(tick) OVER (PARTITION BY tenant ORDER BY at, tick) AS follows FROM fired) s`
	fired, never := count(`fired`), count(`tenants t WHERE NOT EXISTS (SELECT 1 FROM fired f WHERE f.tenant = t.id)`)
	doubled := count(`(SELECT tenant, tick FROM fired GROUP BY tenant, tick HAVING COUNT(*) > 1) d`)
	broken, late := count(steps+` WHERE follows <> next`), count(`fired WHERE at - tick > 2000`)
	caughtUp := count(fmt.Sprintf(`fired, generate_series(tick + %[1]d, next - %[1]d, %[1]d)`, fleetEvery.Milliseconds()))
	overlaps, left := count(`overlapped`), count(`lanes WHERE lease_owner <> ''`)
	slices.Sort(takeovers)
	for _, m := range []struct {
		value float64
		unit  string
	}{
		{float64(fired), "ticks-fired"},
		{float64(late), "late(>2s)"},
		{float64(caughtUp), "stood-for-by-catch-up"},
		{float64(doubled), "doubled"},
		{float64(broken + never), "lost"},
		{float64(overlaps), "overlaps"},
	} {
		f.b.ReportMetric(m.value, m.unit)
	}
	if len(takeovers) > 0 {
		f.b.ReportMetric(takeovers[len(takeovers)/2], "takeover-p50-s")
		f.b.ReportMetric(takeovers[len(takeovers)-1], "takeover-max-s")
	}
	if fired == 0 || doubled+broken+never+overlaps+left > 0 {
		f.b.Errorf("%d fired, %d twice, %d not what the start before them set, %d never, %d run twice at a time, %d leases left", fired, doubled, broken, never, overlaps, left)
	}
}

// serveFleet is one replica of a benchmark: its runs take a moment, under a lock of
// the tenant that dies with the process.
func serveFleet(dsn string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	store, err := state.OpenPostgres(ctx, dsn)
	if err != nil {
		return err
	}
	defer store.Close()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxIdleConns(32)
	me := strconv.Itoa(os.Getpid())
	heart := &collector.Heartbeat{Replicas: store, Owner: me, Now: time.Now, Log: zap.NewNop()}
	if err := heart.Start(ctx); err != nil {
		return err
	}
	beating, end := context.WithCancel(context.Background())
	gone := make(chan struct{})
	go func() { defer close(gone); heart.Serve(beating) }()
	defer func() { end(); <-gone }()
	return (&collector.Scheduler{
		Work: store, Tenant: store.Tenant, Heartbeat: heart, Owner: me, Workers: 32, Lease: time.Minute, Jitter: fleetEvery,
		Grace: 30 * time.Second, Now: time.Now, Log: zap.NewNop(),
		Run: func(ctx context.Context, r collector.Request) (schemas.Run, error) {
			return schemas.Run{}, fleetRun(ctx, db, r.Tenant.ID)
		},
	}).Serve(ctx, 100*time.Millisecond)
}

func fleetRun(ctx context.Context, db *sql.DB, tenant string) error {
	takes := fleetRunTakes
	if strings.HasSuffix(tenant, fleetLongRun) {
		takes = fleetLongRunTakes
	}
	if _, err := db.ExecContext(ctx, `INSERT INTO began VALUES ($1, (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT)`, tenant); err != nil {
		return err
	}
	var alone bool
	if err := db.QueryRowContext(ctx, `WITH l AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS ok)
SELECT ok FROM l, LATERAL (SELECT pg_sleep(CASE WHEN ok THEN $2 ELSE 0 END)) s`, tenant, takes.Seconds()).Scan(&alone); err != nil || alone {
		return err
	}
	_, err := db.ExecContext(ctx, `INSERT INTO overlapped VALUES ($1)`, tenant)
	return err
}
