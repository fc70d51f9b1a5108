package main

import (
	"fmt"

	"github.com/buildbarn/go-xdr/pkg/protocols/nfsv3"
	"golang.org/x/sys/unix"
)

var types = map[uint32]nfsv3.Ftype3{
	unix.S_IFBLK:  nfsv3.NF3BLK,
	unix.S_IFCHR:  nfsv3.NF3CHR,
	unix.S_IFDIR:  nfsv3.NF3DIR,
	unix.S_IFIFO:  nfsv3.NF3FIFO,
	unix.S_IFLNK:  nfsv3.NF3LNK,
	unix.S_IFREG:  nfsv3.NF3REG,
	unix.S_IFSOCK: nfsv3.NF3SOCK,
}

const permissionBits = 0o7777

var (
	noAttributes = &nfsv3.PostOpAttr_FALSE{}
	noChange     = nfsv3.WccData{Before: &nfsv3.PreOpAttr_FALSE{}, After: noAttributes}
)

func attributes(stat *unix.Stat_t) nfsv3.Fattr3 {
	return nfsv3.Fattr3{
		Type:   types[stat.Mode&unix.S_IFMT],
		Mode:   stat.Mode & permissionBits,
		Nlink:  uint32(stat.Nlink),
		Uid:    stat.Uid,
		Gid:    stat.Gid,
		Size:   uint64(stat.Size),
		Used:   uint64(stat.Blocks) * 512,
		Rdev:   nfsv3.Specdata3{Specdata1: unix.Major(stat.Rdev), Specdata2: unix.Minor(stat.Rdev)},
		Fsid:   stat.Dev,
		Fileid: stat.Ino,
		Atime:  nfsTime(stat.Atim),
		Mtime:  nfsTime(stat.Mtim),
		Ctime:  nfsTime(stat.Ctim),
	}
}

func nfsTime(time unix.Timespec) nfsv3.Nfstime3 {
	return nfsv3.Nfstime3{Seconds: uint32(time.Sec), Nseconds: uint32(time.Nsec)}
}

// after returns the attributes that an open file has after an operation.
func after(file int) nfsv3.PostOpAttr {
	var stat unix.Stat_t
	if err := unix.Fstat(file, &stat); err != nil {
		return noAttributes
	}
	return &nfsv3.PostOpAttr_TRUE{Attributes: attributes(&stat)}
}

func change(file int) nfsv3.WccData {
	return nfsv3.WccData{Before: &nfsv3.PreOpAttr_FALSE{}, After: after(file)}
}

// set changes the attributes of a file that is opened with O_PATH, all but its size.
func set(file int, wanted *nfsv3.Sattr3) error {
	uid, gid := -1, -1
	if set, ok := wanted.Uid.(*nfsv3.SetUid3_TRUE); ok {
		uid = int(set.Uid)
	}
	if set, ok := wanted.Gid.(*nfsv3.SetGid3_TRUE); ok {
		gid = int(set.Gid)
	}
	if uid != -1 || gid != -1 {
		if err := unix.Fchownat(file, "", uid, gid, unix.AT_EMPTY_PATH); err != nil {
			return err
		}
	}
	// After the owner, whose change takes the set-id bits away. A file that is opened with O_PATH has no fchmod.
	if set, ok := wanted.Mode.(*nfsv3.SetMode3_TRUE); ok {
		if err := unix.Chmod(procPath(file), set.Mode&permissionBits); err != nil {
			return err
		}
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
	switch set := wanted.Atime.(type) {
	case *nfsv3.SetAtime_SET_TO_CLIENT_TIME:
		times[0] = unix.Timespec{Sec: int64(set.Atime.Seconds), Nsec: int64(set.Atime.Nseconds)}
	case *nfsv3.SetAtime_default:
		if set.SetIt == nfsv3.SET_TO_SERVER_TIME {
			times[0].Nsec = unix.UTIME_NOW
		}
	}
	switch set := wanted.Mtime.(type) {
	case *nfsv3.SetMtime_SET_TO_CLIENT_TIME:
		times[1] = unix.Timespec{Sec: int64(set.Mtime.Seconds), Nsec: int64(set.Mtime.Nseconds)}
	case *nfsv3.SetMtime_default:
		if set.SetIt == nfsv3.SET_TO_SERVER_TIME {
			times[1].Nsec = unix.UTIME_NOW
		}
	}
	if times[0].Nsec == unix.UTIME_OMIT && times[1].Nsec == unix.UTIME_OMIT {
		return nil
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, procPath(file), times, 0)
}

func procPath(file int) string {
	return fmt.Sprintf("/proc/self/fd/%d", file)
}

// mode returns the mode that a new file is to have.
func mode(wanted *nfsv3.Sattr3, otherwise uint32) uint32 {
	if set, ok := wanted.Mode.(*nfsv3.SetMode3_TRUE); ok {
		return set.Mode & permissionBits
	}
	return otherwise
}
