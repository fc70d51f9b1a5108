package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/buildbarn/go-xdr/pkg/protocols/nfsv3"
	"golang.org/x/sys/unix"
)

const (
	keySize  = 32
	sealSize = 16
	typeSize = 4
)

// export is the folder that is served.
type export struct {
	path string
	root int
	key  []byte
	// Data that was written and not committed is in the kernel's hands, which outlive this process: it is lost
	// if the machine starts anew, and that is what a change of the verifier tells a client.
	verifier nfsv3.Writeverf3
}

func newExport(path, keyFile string) (*export, error) {
	root, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	key, err := readKey(keyFile)
	if err != nil {
		return nil, err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, err
	}
	result := &export{path: filepath.Clean(path), root: root, key: key}
	sum := sha256.Sum256(boot)
	copy(result.verifier[:], sum[:])
	return result, nil
}

// readKey reads the key that seals handles, or makes it.
func readKey(file string) ([]byte, error) {
	key, err := os.ReadFile(file)
	if err == nil && len(key) == keySize {
		return key, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key = make([]byte, keySize)
	rand.Read(key)
	return key, os.WriteFile(file, key, 0o600)
}

// seal authenticates a handle. The kernel opens any file of the file system by handle, and clients may have only those
// that they were given.
func (e *export) seal(handle []byte) []byte {
	mac := hmac.New(sha256.New, e.key)
	mac.Write(handle)
	return mac.Sum(nil)[:sealSize]
}

// handle returns the handle of an open file.
func (e *export) handle(file int) (nfsv3.NfsFh3, error) {
	kernel, _, err := unix.NameToHandleAt(file, "", unix.AT_EMPTY_PATH)
	if err != nil {
		return nfsv3.NfsFh3{}, err
	}
	handle := binary.BigEndian.AppendUint32(nil, uint32(kernel.Type()))
	handle = append(handle, kernel.Bytes()...)
	handle = append(handle, e.seal(handle)...)
	if len(handle) > nfsv3.NFS3_FHSIZE {
		return nfsv3.NfsFh3{}, unix.EOVERFLOW
	}
	return nfsv3.NfsFh3{Data: handle}, nil
}

// open opens the file of a handle.
func (e *export) open(handle nfsv3.NfsFh3, flags int) (int, error) {
	sealed := len(handle.Data) - sealSize
	if sealed <= typeSize || !hmac.Equal(e.seal(handle.Data[:sealed]), handle.Data[sealed:]) {
		return -1, unix.ESTALE
	}
	kind := int32(binary.BigEndian.Uint32(handle.Data))
	// Without O_NONBLOCK a pipe waits for its other end.
	return unix.OpenByHandleAt(e.root, unix.NewFileHandle(kind, handle.Data[typeSize:sealed]), flags|unix.O_NONBLOCK|unix.O_CLOEXEC)
}

// openFolder opens the folder of a handle for work on the name in it.
func (e *export) openFolder(where nfsv3.Diropargs3) (int, error) {
	if where.Name == "" || where.Name == "." || where.Name == ".." || strings.Contains(where.Name, "/") {
		return -1, unix.EACCES
	}
	return e.open(where.Dir, unix.O_PATH|unix.O_DIRECTORY)
}

// openPath opens a folder below the export by its path on the server; links are not followed.
func (e *export) openPath(path string) (int, error) {
	relative, err := filepath.Rel(e.path, path)
	if err != nil || !filepath.IsLocal(relative) {
		return -1, unix.EACCES
	}
	return unix.Openat2(e.root, relative, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	})
}

// child opens the file of a name in a folder, a link itself.
func child(folder int, name string) (int, error) {
	return unix.Openat(folder, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// entry is an entry of a folder; reading goes on behind it from the position next.
type entry struct {
	inode, next uint64
	name        string
}

// entries reads a folder from a position, 0 being its start, until use returns false; it tells whether that was all.
func entries(folder int, position uint64, use func(entry) bool) (all bool, err error) {
	if _, err := unix.Seek(folder, int64(position), unix.SEEK_SET); err != nil {
		return false, err
	}
	const headerSize = 19
	buffer := make([]byte, 1<<15)
	for {
		size, err := unix.Getdents(folder, buffer)
		if err != nil || size == 0 {
			return err == nil, err
		}
		for rest := buffer[:size]; len(rest) > 0; {
			length := binary.NativeEndian.Uint16(rest[16:])
			name, _, _ := bytes.Cut(rest[headerSize:length], []byte{0})
			found := entry{binary.NativeEndian.Uint64(rest), binary.NativeEndian.Uint64(rest[8:]), string(name)}
			rest = rest[length:]
			// A name that the protocol's library refuses would end the connection.
			if isASCII(found.name) && !use(found) {
				return false, nil
			}
		}
	}
}

func isASCII(name string) bool {
	return strings.IndexFunc(name, func(r rune) bool { return r > 127 }) < 0
}
