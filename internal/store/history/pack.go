package history

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"moneyer/internal/store/engine"
)

// maxText bounds the unpacked text of a batch, far above the entries of one commit.
const maxText = 64 << 20

// maxLines bounds the lines of a batch, far above those of one commit: each line takes
// memory, even if it is short.
const maxLines = 1 << 16

var errTooManyLines = errors.New("it has more lines than a commit can have")

// Packer compresses the lines of a batch into a Zstandard frame (RFC 8878) with a
// dictionary.
type Packer struct {
	encoder *zstd.Encoder // for the writer alone
	decoder *zstd.Decoder
}

// NewPacker makes a Packer.
func NewPacker() (*Packer, error) {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxText), zstd.WithDecoderDictRaw(dictionaryID, []byte(dictionary)))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(128<<10), zstd.WithEncoderCRC(false), // the chain covers the lines
		zstd.WithEncoderDictRaw(dictionaryID, []byte(dictionary)))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return &Packer{encoder, decoder}, nil
}

// pack appends the packed lines to dst.
func (p *Packer) pack(dst []byte, lines []engine.Line) []byte {
	size := 0
	for i := range lines {
		size += len(lines[i].Text) + 1
	}
	text := make([]byte, 0, size)
	for i := range lines {
		if i > 0 {
			text = append(text, '\n')
		}
		text = append(text, lines[i].Text...)
	}
	return p.encoder.EncodeAll(text, dst)
}

// unpack returns the lines that pack was given.
func (p *Packer) unpack(packed []byte) ([][]byte, error) {
	text, err := p.decoder.DecodeAll(packed, nil)
	if err != nil {
		return nil, err
	}
	if bytes.Count(text, []byte{'\n'}) >= maxLines {
		return nil, errTooManyLines
	}
	return bytes.Split(text, []byte{'\n'}), nil
}

// dictionary is text that batches are likely to contain, which matters for batches of one
// entry. Frames refer to it by its ID. It is never changed: a better one gets the next ID,
// and this one is kept for reading.
const (
	dictionaryID = 1
	dictionary   = `{"kind":"admin","time":"2026-01-01T00:00:00.000Z","issuer":"","client":"","actor":"","action":"client.add","object":""}
{"kind":"refusals","time":"2026-01-01T00:00:00.000Z","issuer":"","count":100}
{"kind":"authentication","time":"2026-01-01T00:00:00.000Z","issuer":"","client":"","correlation":"","credential":"","subject":""}
{"kind":"refusal","time":"2026-01-01T00:00:00.000Z","issuer":"","client":"","correlation":"","credential":"","code":"invalid_grant","rule":"exp not past","expected":"","found":"","code":"invalid_client","rule":"signature"}
{"kind":"token","time":"2026-11-23T12:34:56.789Z","issuer":"etp","client":"","correlation":"","jti":"","credential":"","signing_kid":"","subject":"","scope":"tokens:read tokens:write","expires":"2026-11-23T12:39:56.000Z"}
{"kind":"token","time":"2026-11-23T12:34:56.789Z","issuer":"d1","client":"","correlation":"","jti":"","credential":"","signing_kid":"","subject":"","scope":"d1-s2s:api:merchant-gtw","expires":"2026-11-23T12:49:56.000Z"}`
)
