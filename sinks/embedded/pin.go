package embedded

// The library build that this package was tested with. Everything is checked before the file is used.
const (
	libraryVersion = "26.7.3" // what chdb_version() says; the engine inside is ClickHouse 26.7.2.1
	npmVersion     = "26.7.3-stable.1"
	tarballSize    = 177_817_999
	tarballSHA512  = "XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==" // base64, as npm writes it
	librarySize    = 566_330_096
	librarySHA256  = "36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5"
	libraryMember  = "package/libchdb.so" // inside the tarball
)

// pin is what the pinned build is known by. Tests make their own, with small files.
type pin struct {
	version string // directory in the cache
	spec    string // npm package and version; empty: none is published for this platform
	tarball fingerprint
	library fingerprint
	member  string
}

// fingerprint is a file's size in bytes and its hash.
type fingerprint struct {
	size int64
	hash string
}

// pinned is the build for a platform. Only linux/amd64 is published today; elsewhere a library can be handed over.
func pinned(goos, goarch string) pin {
	p := pin{
		version: libraryVersion,
		tarball: fingerprint{tarballSize, tarballSHA512},
		library: fingerprint{librarySize, librarySHA256},
		member:  libraryMember,
	}
	if goos == "linux" && goarch == "amd64" {
		p.spec = "@chdb/lib-linux-x64-gnu@" + npmVersion
	}
	return p
}
