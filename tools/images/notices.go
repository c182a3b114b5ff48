package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/duebell/duebell/tools/release/licences"
)

// noticesPath is where the licences are in an image.
const noticesPath = "licenses/NOTICES.txt"

// notices returns a layer with the licences of all that the programs are made of.
func notices(ctx context.Context, root string, platforms []string) (v1.Layer, error) {
	parts, err := licences.Collect(ctx, root, platforms)
	if err != nil {
		return nil, fmt.Errorf("collecting the licences: %w", err)
	}
	text := licences.Notices(parts)
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, header := range []tar.Header{
		{Name: filepath.Dir(noticesPath) + "/", Typeflag: tar.TypeDir, Mode: 0o555},
		{Name: noticesPath, Typeflag: tar.TypeReg, Mode: 0o444, Size: int64(len(text))},
	} {
		if err := w.WriteHeader(&header); err != nil { // without a date: the same licences make the same layer
			return nil, err
		}
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil }, tarball.WithMediaType(types.OCILayer))
}
