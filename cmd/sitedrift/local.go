package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sitedrift/sitedrift/collector/schedule"
	"github.com/sitedrift/sitedrift/config"
)

// config loads the configuration; mistakes in it end the command with exit code 2.
func (e *env) config() (*config.Config, error) {
	cfg, err := config.Load(config.Find(e.cli.Config), checks())
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return cfg, nil
}

// local runs an operation in this process, which takes the locks for it.
func local(e *env, cfg *config.Config, op operation, params json.RawMessage, onEvent func(json.RawMessage) error) (_ json.RawMessage, err error) {
	a, err := open(e.ctx, cfg, realWorld(), zap.NewNop(), op.needs) // a command tells its own results
	if err != nil {
		return nil, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, a.close(ctx))
	}()
	var broken error
	result, err := op.perform(e.ctx, a, actorOf(os.Geteuid()), params, func(event any) {
		raw, err := json.Marshal(event)
		if err == nil {
			err = onEvent(raw)
		}
		broken = errors.Join(broken, err)
	})
	if err = errors.Join(err, broken); err != nil {
		return nil, err
	}
	return json.Marshal(result)
}

// daemonLog is the log of serve.
func daemonLog(cfg config.Log, w io.Writer) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(cfg.Level)
	if err != nil {
		return nil, fmt.Errorf("log.level: %w", err)
	}
	ec := zap.NewProductionEncoderConfig()
	ec.EncodeTime, ec.EncodeDuration = zapcore.ISO8601TimeEncoder, zapcore.StringDurationEncoder
	enc := zapcore.NewJSONEncoder(ec)
	if cfg.Format == "console" {
		enc = zapcore.NewConsoleEncoder(ec)
	}
	return zap.New(zapcore.NewCore(enc, zapcore.Lock(zapcore.AddSync(w)), level)), nil
}

// printJSON writes a value as one JSON document.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// checks are the rules of configuration that belong to other packages.
func checks() config.Checks {
	return config.Checks{Cron: func(expr string) error {
		_, err := schedule.Parse(expr)
		if err != nil { // the value stands before it already
			err = errors.New(strings.TrimPrefix(err.Error(), fmt.Sprintf("schedule %q: ", expr)))
		}
		return err
	}}
}
