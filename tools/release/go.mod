// Makes releases, and lists what the product is made of and under which licences. It is a
// module of its own so that what that takes stays out of the product's go.sum.
module github.com/duebell/duebell/tools/release

go 1.26.4

require (
	github.com/google/licensecheck v0.3.1
	github.com/spdx/tools-golang v0.5.7
	golang.org/x/mod v0.37.0
)

require github.com/anchore/go-struct-converter v0.1.0 // indirect
