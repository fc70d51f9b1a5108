// Package status translates between the errors of Linux and those of NFS.
package status

import (
	"errors"
	"syscall"

	"github.com/buildbarn/go-xdr/pkg/protocols/nfsv3"
)

// Those that Linux and NFS number differently.
var different = map[syscall.Errno]nfsv3.Nfsstat3{
	syscall.EDQUOT:       nfsv3.NFS3ERR_DQUOT,
	syscall.ENAMETOOLONG: nfsv3.NFS3ERR_NAMETOOLONG,
	syscall.ENOTEMPTY:    nfsv3.NFS3ERR_NOTEMPTY,
	syscall.EOPNOTSUPP:   nfsv3.NFS3ERR_NOTSUPP,
	syscall.ESTALE:       nfsv3.NFS3ERR_STALE,
}

var same = map[syscall.Errno]bool{
	syscall.EACCES: true, syscall.EEXIST: true, syscall.EFBIG: true, syscall.EINVAL: true, syscall.EISDIR: true,
	syscall.EMLINK: true, syscall.ENODEV: true, syscall.ENOENT: true, syscall.ENOSPC: true, syscall.ENOTDIR: true,
	syscall.ENXIO: true, syscall.EPERM: true, syscall.EROFS: true, syscall.EXDEV: true,
}

// Of returns the NFS status of an error; one that NFS does not know is an I/O error.
func Of(err error) nfsv3.Nfsstat3 {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return nfsv3.NFS3ERR_IO
	}
	if status, ok := different[errno]; ok {
		return status
	}
	if same[errno] {
		return nfsv3.Nfsstat3(errno)
	}
	return nfsv3.NFS3ERR_IO
}

// Errno returns the error of an NFS status, 0 if it is NFS3_OK.
func Errno(status nfsv3.Nfsstat3) syscall.Errno {
	for errno, its := range different {
		if its == status {
			return errno
		}
	}
	if errno := syscall.Errno(status); status == nfsv3.NFS3_OK || same[errno] {
		return errno
	}
	return syscall.EIO
}
