package sitedrift_test

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// instruction is one line of the Dockerfile, with continuations joined.
type instruction struct{ name, args string }

func dockerfile(t *testing.T) (stages [][]instruction) {
	t.Helper()
	b, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(b), "\\\n", " ")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, args, _ := strings.Cut(line, " ")
		if name == "FROM" {
			stages = append(stages, nil)
		}
		last := len(stages) - 1
		stages[last] = append(stages[last], instruction{name, strings.TrimSpace(args)})
	}
	return stages
}

func (in instruction) String() string { return in.name + " " + in.args }

// The image is what its comment says: from nothing, not as root, with
// certificates, started without a shell.
func TestImage(t *testing.T) {
	stages := dockerfile(t)
	if len(stages) != 2 {
		t.Fatalf("%d stages, want build and final", len(stages))
	}
	build, final := stages[0], stages[1]

	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "go.mod"))[1]
	if from := build[0].args; !strings.HasPrefix(from, "golang:"+goVersion+".") || !strings.HasSuffix(from, " AS build") {
		t.Errorf("build stage is FROM %s, want a patch release of golang:%s", from, goVersion)
	}
	for _, want := range []string{
		"FROM scratch",
		"USER 65532:65532",
		`ENTRYPOINT ["/usr/bin/sitedrift"]`,
		"COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt",
	} {
		if !slices.ContainsFunc(final, func(in instruction) bool { return in.String() == want }) {
			t.Errorf("the final stage lacks %q", want)
		}
	}
	for _, in := range final {
		if in.name == "RUN" || in.name == "ADD" || in.name == "SHELL" {
			t.Errorf("%q needs a shell or fetches something; the final stage only copies", in)
		}
	}

	// What the build copies from the checkout exists, and .dockerignore lets it in.
	ignore := read(t, ".dockerignore")
	for _, in := range slices.Concat(build, final) {
		if in.name != "COPY" || strings.HasPrefix(in.args, "--from") {
			continue
		}
		sources := strings.Fields(in.args)
		for _, src := range sources[:len(sources)-1] {
			if _, err := os.Stat(src); err != nil {
				t.Errorf("%q copies what is not there: %v", in, err)
			}
			if !strings.Contains(ignore, "\n!"+src+"\n") {
				t.Errorf(".dockerignore keeps %s out, which %q copies", src, in)
			}
		}
	}
}

// The build command of the image, run here, makes a binary that asks for no
// loader and no library, so it starts where there is nothing else.
func TestServerBinaryIsStatic(t *testing.T) {
	var command string
	for _, in := range dockerfile(t)[0] {
		if in.name == "RUN" && strings.Contains(in.args, "go build") {
			command = in.args
		}
	}
	if command == "" {
		t.Fatal("the Dockerfile builds nothing")
	}
	bin := filepath.Join(t.TempDir(), "sitedrift")
	env, args := []string{"GOOS=linux", "GOARCH=" + runtime.GOARCH}, strings.Fields(command)
	for strings.Contains(args[0], "=") {
		env, args = append(env, args[0]), args[1:]
	}
	out := slices.Index(args, "-o")
	if out < 0 || args[out+1] != "/out/sitedrift" {
		t.Fatalf("the image does not build /out/sitedrift: %s", command)
	}
	args[out+1] = bin
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, b)
	}

	f, err := elf.Open(bin)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the binary asks for a dynamic loader")
		}
	}
	libs, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	if len(libs) > 0 {
		t.Errorf("the binary needs the libraries %v: is purego or cgo linked in?", libs)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
