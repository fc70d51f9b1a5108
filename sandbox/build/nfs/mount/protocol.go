package main

import (
	"errors"
	"io"
	"log"
	"path"

	"github.com/buildbarn/go-xdr/pkg/protocols/mount"
	"github.com/buildbarn/go-xdr/pkg/protocols/nfsv3"
	"github.com/buildbarn/go-xdr/pkg/protocols/rpcv2"
	"github.com/buildbarn/go-xdr/pkg/runtime"
	"golang.org/x/sys/unix"

	"sandbox/nfs/status"
)

// Numbers of the procedures, as in RFC 1813.
const (
	procedureGetattr     = 1
	procedureSetattr     = 2
	procedureLookup      = 3
	procedureReadlink    = 5
	procedureRead        = 6
	procedureWrite       = 7
	procedureCreate      = 8
	procedureMkdir       = 9
	procedureSymlink     = 10
	procedureRemove      = 12
	procedureRmdir       = 13
	procedureRename      = 14
	procedureLink        = 15
	procedureReaddirplus = 17
	procedureFsstat      = 18
	procedureCommit      = 21

	procedureMnt = 1
)

// The server tells that work was done before by one of these errors.
var doneBefore = map[uint32]unix.Errno{
	procedureMkdir:   unix.EEXIST,
	procedureSymlink: unix.EEXIST,
	procedureLink:    unix.EEXIST,
	procedureRemove:  unix.ENOENT,
	procedureRmdir:   unix.ENOENT,
	procedureRename:  unix.ENOENT,
}

// errDoneBefore says that a repeated request found its work done, so that the result has to be asked for.
var errDoneBefore = errors.New("done before")

type result interface {
	GetStatus() nfsv3.Nfsstat3
}

// invoke calls a procedure of the NFS server.
func invoke[R result](
	c *client, procedure uint32, who *rpcv2.AuthsysParms, arguments message, read func(io.Reader) (R, int64, error),
) (R, error) {
	var none R
	reader, repeated, err := c.call(nfsv3.NFS_PROGRAM_PROGRAM_NUMBER, procedure, who, arguments)
	if err != nil {
		return none, err
	}
	answer, _, err := read(reader)
	if err != nil {
		return none, err
	}
	errno := status.Errno(answer.GetStatus())
	if errno != 0 && repeated && doneBefore[procedure] == errno {
		return none, errDoneBefore
	}
	if errno != 0 {
		return none, errno
	}
	return answer, nil
}

// errnoOf returns what a system call that failed this way is to return.
func errnoOf(err error) unix.Errno {
	var errno unix.Errno
	if err == nil || errors.As(err, &errno) {
		return errno
	}
	log.Print(err)
	return unix.EIO
}

type pathArgument string

func (p pathArgument) WriteTo(w io.Writer) (int64, error) {
	return runtime.WriteASCIIString(w, mount.MNTPATHLEN, string(p))
}

func (p pathArgument) GetEncodedSizeBytes() int { return (len(p) + 7) &^ 3 }

// mountRoot asks the server for the handle of a folder.
func mountRoot(c *client, folder string) (nfsv3.NfsFh3, error) {
	none := nfsv3.NfsFh3{}
	reader, _, err := c.call(mount.MOUNT_PROGRAM_PROGRAM_NUMBER, procedureMnt, helper, pathArgument(path.Clean(folder)))
	if err != nil {
		return none, err
	}
	answer, _, err := mount.ReadMountres3(reader)
	if err != nil {
		return none, err
	}
	if granted, ok := answer.(*mount.Mountres3_MNT3_OK); ok {
		return nfsv3.NfsFh3{Data: granted.Mountinfo.Fhandle}, nil
	}
	return none, status.Errno(nfsv3.Nfsstat3(answer.GetFhsStatus()))
}
