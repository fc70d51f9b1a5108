package main

import (
	"context"
	"encoding/binary"
	"io"

	"github.com/buildbarn/go-xdr/pkg/protocols/nfsv3"
	"golang.org/x/sys/unix"

	"sandbox/nfs/status"
)

const (
	maxTransfer  = 1 << 20
	maxDirectory = 1 << 16
	maxName      = 255
)

// nfsProgram answers each request from the file system alone.
type nfsProgram struct{ *export }

func (n *nfsProgram) NfsV3Nfsproc3Null(context.Context) error { return nil }

func (n *nfsProgram) NfsV3Nfsproc3Getattr(_ context.Context, a *nfsv3.Getattr3args) (nfsv3.Getattr3res, error) {
	file, err := n.open(a.Object, unix.O_PATH)
	if err != nil {
		return &nfsv3.Getattr3res_default{Status: status.Of(err)}, nil
	}
	defer unix.Close(file)
	var stat unix.Stat_t
	if err := unix.Fstat(file, &stat); err != nil {
		return &nfsv3.Getattr3res_default{Status: status.Of(err)}, nil
	}
	return &nfsv3.Getattr3res_NFS3_OK{Resok: nfsv3.Getattr3resok{ObjAttributes: attributes(&stat)}}, nil
}

func (n *nfsProgram) NfsV3Nfsproc3Setattr(_ context.Context, a *nfsv3.Setattr3args) (nfsv3.Setattr3res, error) {
	fail := func(result nfsv3.Nfsstat3) (nfsv3.Setattr3res, error) {
		return &nfsv3.Setattr3res_default{Status: result, Resfail: nfsv3.Setattr3resfail{ObjWcc: noChange}}, nil
	}
	file, err := n.open(a.Object, unix.O_PATH)
	if err != nil {
		return fail(status.Of(err))
	}
	defer unix.Close(file)
	if guard, ok := a.Guard.(*nfsv3.Sattrguard3_TRUE); ok {
		var stat unix.Stat_t
		if err := unix.Fstat(file, &stat); err != nil {
			return fail(status.Of(err))
		}
		if guard.ObjCtime != nfsTime(stat.Ctim) {
			return fail(nfsv3.NFS3ERR_NOT_SYNC)
		}
	}
	if size, ok := a.NewAttributes.Size.(*nfsv3.SetSize3_TRUE); ok {
		if err := n.truncate(a.Object, size.Size); err != nil {
			return fail(status.Of(err))
		}
	}
	if err := set(file, &a.NewAttributes); err != nil {
		return fail(status.Of(err))
	}
	return &nfsv3.Setattr3res_NFS3_OK{Resok: nfsv3.Setattr3resok{ObjWcc: change(file)}}, nil
}

func (n *nfsProgram) truncate(handle nfsv3.NfsFh3, size uint64) error {
	file, err := n.open(handle, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(file)
	return unix.Ftruncate(file, int64(size))
}

func (n *nfsProgram) NfsV3Nfsproc3Lookup(_ context.Context, a *nfsv3.Lookup3args) (nfsv3.Lookup3res, error) {
	fail := func(err error) (nfsv3.Lookup3res, error) {
		return &nfsv3.Lookup3res_default{Status: status.Of(err), Resfail: nfsv3.Lookup3resfail{DirAttributes: noAttributes}}, nil
	}
	folder, err := n.openFolder(a.What)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(folder)
	file, err := child(folder, a.What.Name)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(file)
	handle, err := n.handle(file)
	if err != nil {
		return fail(err)
	}
	return &nfsv3.Lookup3res_NFS3_OK{Resok: nfsv3.Lookup3resok{
		Object: handle, ObjAttributes: after(file), DirAttributes: after(folder),
	}}, nil
}

func (n *nfsProgram) NfsV3Nfsproc3Access(ctx context.Context, a *nfsv3.Access3args) (nfsv3.Access3res, error) {
	fail := func(err error) (nfsv3.Access3res, error) {
		return &nfsv3.Access3res_default{Status: status.Of(err), Resfail: nfsv3.Access3resfail{ObjAttributes: noAttributes}}, nil
	}
	file, err := n.open(a.Object, unix.O_PATH)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(file)
	var stat unix.Stat_t
	if err := unix.Fstat(file, &stat); err != nil {
		return fail(err)
	}
	granted := uint32(0)
	bits := permissions(ctx, stat.Mode, stat.Uid, stat.Gid)
	if bits&4 != 0 {
		granted |= nfsv3.ACCESS3_READ
	}
	if bits&2 != 0 {
		granted |= nfsv3.ACCESS3_MODIFY | nfsv3.ACCESS3_EXTEND | nfsv3.ACCESS3_DELETE
	}
	if bits&1 != 0 {
		granted |= nfsv3.ACCESS3_LOOKUP | nfsv3.ACCESS3_EXECUTE
	}
	return &nfsv3.Access3res_NFS3_OK{Resok: nfsv3.Access3resok{ObjAttributes: after(file), Access: granted & a.Access}}, nil
}

func (n *nfsProgram) NfsV3Nfsproc3Readlink(_ context.Context, a *nfsv3.Readlink3args) (nfsv3.Readlink3res, error) {
	fail := func(err error) (nfsv3.Readlink3res, error) {
		return &nfsv3.Readlink3res_default{Status: status.Of(err), Resfail: nfsv3.Readlink3resfail{SymlinkAttributes: noAttributes}}, nil
	}
	file, err := n.open(a.Symlink, unix.O_PATH)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(file)
	target := make([]byte, unix.PathMax)
	size, err := unix.Readlinkat(file, "", target)
	if err != nil {
		return fail(err)
	}
	return &nfsv3.Readlink3res_NFS3_OK{Resok: nfsv3.Readlink3resok{SymlinkAttributes: after(file), Data: string(target[:size])}}, nil
}

func (n *nfsProgram) NfsV3Nfsproc3Read(_ context.Context, a *nfsv3.Read3args) (nfsv3.Read3res, error) {
	fail := func(err error) (nfsv3.Read3res, error) {
		return &nfsv3.Read3res_default{Status: status.Of(err), Resfail: nfsv3.Read3resfail{FileAttributes: noAttributes}}, nil
	}
	file, err := n.open(a.File, unix.O_RDONLY)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(file)
	data := make([]byte, min(a.Count, maxTransfer))
	size, err := transfer(unix.Pread, file, data, a.Offset)
	if err != nil && err != io.EOF {
		return fail(err)
	}
	return &nfsv3.Read3res_NFS3_OK{Resok: nfsv3.Read3resok{
		FileAttributes: after(file), Count: uint32(size), Eof: err == io.EOF, Data: data[:size],
	}}, nil
}

func (n *nfsProgram) NfsV3Nfsproc3Write(_ context.Context, a *nfsv3.Write3args) (nfsv3.Write3res, error) {
	fail := func(err error) (nfsv3.Write3res, error) {
		return &nfsv3.Write3res_default{Status: status.Of(err), Resfail: nfsv3.Write3resfail{FileWcc: noChange}}, nil
	}
	file, err := n.open(a.File, unix.O_WRONLY)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(file)
	size, err := transfer(unix.Pwrite, file, a.Data, a.Offset)
	if err != nil {
		return fail(err)
	}
	if a.Stable != nfsv3.UNSTABLE {
		if err := unix.Fsync(file); err != nil {
			return fail(err)
		}
	}
	return &nfsv3.Write3res_NFS3_OK{Resok: nfsv3.Write3resok{
		FileWcc: change(file), Count: uint32(size), Committed: a.Stable, Verf: n.verifier,
	}}, nil
}

// transfer reads or writes all of the data, or until the end of the file.
func transfer(call func(int, []byte, int64) (int, error), file int, data []byte, offset uint64) (int, error) {
	done := 0
	for done < len(data) {
		size, err := call(file, data[done:], int64(offset)+int64(done))
		if err != nil {
			return done, err
		}
		if size == 0 {
			return done, io.EOF
		}
		done += size
	}
	return done, nil
}

func (n *nfsProgram) NfsV3Nfsproc3Create(ctx context.Context, a *nfsv3.Create3args) (nfsv3.Create3res, error) {
	fail := func(err error) (nfsv3.Create3res, error) {
		return &nfsv3.Create3res_default{Status: status.Of(err), Resfail: nfsv3.Create3resfail{DirWcc: noChange}}, nil
	}
	folder, err := n.openFolder(a.Where)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(folder)
	file, err := createFile(ctx, folder, a.Where.Name, a.How)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(file)
	handle, err := n.handle(file)
	if err != nil {
		return fail(err)
	}
	return &nfsv3.Create3res_NFS3_OK{Resok: nfsv3.Create3resok{
		Obj: &nfsv3.PostOpFh3_TRUE{Handle: handle}, ObjAttributes: after(file), DirWcc: change(folder),
	}}, nil
}

func createFile(ctx context.Context, folder int, name string, how nfsv3.Createhow3) (int, error) {
	wanted := &nfsv3.Sattr3{}
	switch how := how.(type) {
	case *nfsv3.Createhow3_UNCHECKED:
		wanted = &how.ObjAttributes
	case *nfsv3.Createhow3_GUARDED:
		wanted = &how.ObjAttributes
	case *nfsv3.Createhow3_EXCLUSIVE:
		// The client sets the mode when it has the file; its number for this creation is kept in the times
		// until then, so that a repeated request is known for what it is.
		wanted.Atime = &nfsv3.SetAtime_SET_TO_CLIENT_TIME{
			Atime: nfsv3.Nfstime3{Seconds: binary.BigEndian.Uint32(how.Verf[:]) &^ (1 << 31)}}
		wanted.Mtime = &nfsv3.SetMtime_SET_TO_CLIENT_TIME{
			Mtime: nfsv3.Nfstime3{Seconds: binary.BigEndian.Uint32(how.Verf[4:]) &^ (1 << 31)}}
	}
	flags := unix.O_CREAT | unix.O_EXCL | unix.O_WRONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	writable, err := unix.Openat(folder, name, flags, mode(wanted, 0o600))
	if err == unix.EEXIST {
		return existingFile(folder, name, how, wanted)
	}
	if err != nil {
		return -1, err
	}
	defer unix.Close(writable)
	if size, ok := wanted.Size.(*nfsv3.SetSize3_TRUE); ok {
		if err := unix.Ftruncate(writable, int64(size.Size)); err != nil {
			return -1, err
		}
	}
	return adopt(ctx, folder, name, wanted)
}

// existingFile opens the file that a creation found in its place, if it may.
func existingFile(folder int, name string, how nfsv3.Createhow3, wanted *nfsv3.Sattr3) (int, error) {
	file, err := child(folder, name)
	if err != nil {
		return -1, err
	}
	if err := acceptExisting(file, how, wanted); err != nil {
		unix.Close(file)
		return -1, err
	}
	return file, nil
}

func acceptExisting(file int, how nfsv3.Createhow3, wanted *nfsv3.Sattr3) error {
	var stat unix.Stat_t
	if err := unix.Fstat(file, &stat); err != nil {
		return err
	}
	switch how.(type) {
	case *nfsv3.Createhow3_UNCHECKED:
		if stat.Mode&unix.S_IFMT != unix.S_IFREG {
			return unix.EEXIST
		}
		if size, ok := wanted.Size.(*nfsv3.SetSize3_TRUE); ok {
			return unix.Truncate(procPath(file), int64(size.Size))
		}
		return nil
	case *nfsv3.Createhow3_EXCLUSIVE:
		atime := wanted.Atime.(*nfsv3.SetAtime_SET_TO_CLIENT_TIME).Atime
		mtime := wanted.Mtime.(*nfsv3.SetMtime_SET_TO_CLIENT_TIME).Mtime
		if nfsTime(stat.Atim) == atime && nfsTime(stat.Mtim) == mtime {
			return nil
		}
	}
	return unix.EEXIST
}

// adopt opens a new file, and gives it to the caller and the attributes that it wants.
func adopt(ctx context.Context, folder int, name string, wanted *nfsv3.Sattr3) (int, error) {
	file, err := child(folder, name)
	if err != nil {
		return -1, err
	}
	who := caller(ctx)
	gid := int(who.Gid)
	var stat unix.Stat_t
	if err := unix.Fstat(folder, &stat); err == nil && stat.Mode&unix.S_ISGID != 0 {
		gid = -1
	}
	if err = unix.Fchownat(file, "", int(who.Uid), gid, unix.AT_EMPTY_PATH); err == nil {
		err = set(file, wanted)
	}
	if err != nil {
		unix.Close(file)
		return -1, err
	}
	return file, nil
}

func (n *nfsProgram) NfsV3Nfsproc3Mkdir(ctx context.Context, a *nfsv3.Mkdir3args) (nfsv3.Mkdir3res, error) {
	fail := func(err error) (nfsv3.Mkdir3res, error) {
		return &nfsv3.Mkdir3res_default{Status: status.Of(err), Resfail: nfsv3.Mkdir3resfail{DirWcc: noChange}}, nil
	}
	folder, err := n.openFolder(a.Where)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(folder)
	if err := unix.Mkdirat(folder, a.Where.Name, mode(&a.Attributes, 0o700)); err != nil {
		return fail(err)
	}
	file, err := adopt(ctx, folder, a.Where.Name, &a.Attributes)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(file)
	handle, err := n.handle(file)
	if err != nil {
		return fail(err)
	}
	return &nfsv3.Mkdir3res_NFS3_OK{Resok: nfsv3.Mkdir3resok{
		Obj: &nfsv3.PostOpFh3_TRUE{Handle: handle}, ObjAttributes: after(file), DirWcc: change(folder),
	}}, nil
}

func (n *nfsProgram) NfsV3Nfsproc3Symlink(ctx context.Context, a *nfsv3.Symlink3args) (nfsv3.Symlink3res, error) {
	fail := func(err error) (nfsv3.Symlink3res, error) {
		return &nfsv3.Symlink3res_default{Status: status.Of(err), Resfail: nfsv3.Symlink3resfail{DirWcc: noChange}}, nil
	}
	folder, err := n.openFolder(a.Where)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(folder)
	if err := unix.Symlinkat(a.Symlink.SymlinkData, folder, a.Where.Name); err != nil {
		return fail(err)
	}
	// A link has no mode of its own.
	file, err := adopt(ctx, folder, a.Where.Name, &nfsv3.Sattr3{})
	if err != nil {
		return fail(err)
	}
	defer unix.Close(file)
	handle, err := n.handle(file)
	if err != nil {
		return fail(err)
	}
	return &nfsv3.Symlink3res_NFS3_OK{Resok: nfsv3.Symlink3resok{
		Obj: &nfsv3.PostOpFh3_TRUE{Handle: handle}, ObjAttributes: after(file), DirWcc: change(folder),
	}}, nil
}

// NfsV3Nfsproc3Mknod makes nothing: device files of pods have no place on the machine.
func (n *nfsProgram) NfsV3Nfsproc3Mknod(context.Context, *nfsv3.Mknod3args) (nfsv3.Mknod3res, error) {
	return &nfsv3.Mknod3res_default{Status: nfsv3.NFS3ERR_NOTSUPP, Resfail: nfsv3.Mknod3resfail{DirWcc: noChange}}, nil
}

func (n *nfsProgram) NfsV3Nfsproc3Remove(_ context.Context, a *nfsv3.Remove3args) (nfsv3.Remove3res, error) {
	wcc, err := n.unlink(a.Object, 0)
	if err != nil {
		return &nfsv3.Remove3res_default{Status: status.Of(err), Resfail: nfsv3.Remove3resfail{DirWcc: wcc}}, nil
	}
	return &nfsv3.Remove3res_NFS3_OK{Resok: nfsv3.Remove3resok{DirWcc: wcc}}, nil
}

func (n *nfsProgram) NfsV3Nfsproc3Rmdir(_ context.Context, a *nfsv3.Rmdir3args) (nfsv3.Rmdir3res, error) {
	wcc, err := n.unlink(a.Object, unix.AT_REMOVEDIR)
	if err != nil {
		return &nfsv3.Rmdir3res_default{Status: status.Of(err), Resfail: nfsv3.Rmdir3resfail{DirWcc: wcc}}, nil
	}
	return &nfsv3.Rmdir3res_NFS3_OK{Resok: nfsv3.Rmdir3resok{DirWcc: wcc}}, nil
}

func (n *nfsProgram) unlink(what nfsv3.Diropargs3, flags int) (nfsv3.WccData, error) {
	folder, err := n.openFolder(what)
	if err != nil {
		return noChange, err
	}
	defer unix.Close(folder)
	err = unix.Unlinkat(folder, what.Name, flags)
	return change(folder), err
}

func (n *nfsProgram) NfsV3Nfsproc3Rename(_ context.Context, a *nfsv3.Rename3args) (nfsv3.Rename3res, error) {
	fail := func(err error) (nfsv3.Rename3res, error) {
		return &nfsv3.Rename3res_default{
			Status: status.Of(err), Resfail: nfsv3.Rename3resfail{FromdirWcc: noChange, TodirWcc: noChange},
		}, nil
	}
	from, err := n.openFolder(a.From)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(from)
	to, err := n.openFolder(a.To)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(to)
	if err := unix.Renameat(from, a.From.Name, to, a.To.Name); err != nil {
		return fail(err)
	}
	return &nfsv3.Rename3res_NFS3_OK{Resok: nfsv3.Rename3resok{FromdirWcc: change(from), TodirWcc: change(to)}}, nil
}

func (n *nfsProgram) NfsV3Nfsproc3Link(_ context.Context, a *nfsv3.Link3args) (nfsv3.Link3res, error) {
	fail := func(err error) (nfsv3.Link3res, error) {
		return &nfsv3.Link3res_default{
			Status: status.Of(err), Resfail: nfsv3.Link3resfail{FileAttributes: noAttributes, LinkdirWcc: noChange},
		}, nil
	}
	file, err := n.open(a.File, unix.O_PATH)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(file)
	folder, err := n.openFolder(a.Link)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(folder)
	if err := unix.Linkat(file, "", folder, a.Link.Name, unix.AT_EMPTY_PATH); err != nil {
		return fail(err)
	}
	return &nfsv3.Link3res_NFS3_OK{Resok: nfsv3.Link3resok{FileAttributes: after(file), LinkdirWcc: change(folder)}}, nil
}

func (n *nfsProgram) NfsV3Nfsproc3Readdir(_ context.Context, a *nfsv3.Readdir3args) (nfsv3.Readdir3res, error) {
	fail := func(err error) (nfsv3.Readdir3res, error) {
		return &nfsv3.Readdir3res_default{Status: status.Of(err), Resfail: nfsv3.Readdir3resfail{DirAttributes: noAttributes}}, nil
	}
	folder, err := n.open(a.Dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(folder)
	result := nfsv3.Readdir3resok{DirAttributes: after(folder)}
	room := int(min(a.Count, maxDirectory)) - result.GetEncodedSizeBytes()
	end := &result.Reply.Entries
	result.Reply.Eof, err = entries(folder, a.Cookie, func(found entry) bool {
		next := &nfsv3.Entry3{Fileid: found.inode, Name: found.name, Cookie: found.next}
		if room -= next.GetEncodedSizeBytes(); room < 0 {
			return false
		}
		*end, end = next, &next.Nextentry
		return true
	})
	if err != nil {
		return fail(err)
	}
	return &nfsv3.Readdir3res_NFS3_OK{Resok: result}, nil
}

func (n *nfsProgram) NfsV3Nfsproc3Readdirplus(_ context.Context, a *nfsv3.Readdirplus3args) (nfsv3.Readdirplus3res, error) {
	fail := func(err error) (nfsv3.Readdirplus3res, error) {
		return &nfsv3.Readdirplus3res_default{Status: status.Of(err), Resfail: nfsv3.Readdirplus3resfail{DirAttributes: noAttributes}}, nil
	}
	folder, err := n.open(a.Dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(folder)
	result := nfsv3.Readdirplus3resok{DirAttributes: after(folder)}
	room := int(min(a.Maxcount, maxDirectory)) - result.GetEncodedSizeBytes()
	end := &result.Reply.Entries
	result.Reply.Eof, err = entries(folder, a.Cookie, func(found entry) bool {
		next := &nfsv3.Entryplus3{
			Fileid: found.inode, Name: found.name, Cookie: found.next,
			NameAttributes: noAttributes, NameHandle: &nfsv3.PostOpFh3_FALSE{},
		}
		// What is above the export is nobody's business.
		if found.name != ".." {
			n.describe(folder, next)
		}
		if room -= next.GetEncodedSizeBytes(); room < 0 {
			return false
		}
		*end, end = next, &next.Nextentry
		return true
	})
	if err != nil {
		return fail(err)
	}
	return &nfsv3.Readdirplus3res_NFS3_OK{Resok: result}, nil
}

// describe adds attributes and handle to an entry of a folder, unless it has just gone.
func (n *nfsProgram) describe(folder int, found *nfsv3.Entryplus3) {
	file, err := child(folder, found.Name)
	if err != nil {
		return
	}
	defer unix.Close(file)
	if handle, err := n.handle(file); err == nil {
		found.NameAttributes = after(file)
		found.NameHandle = &nfsv3.PostOpFh3_TRUE{Handle: handle}
	}
}

func (n *nfsProgram) NfsV3Nfsproc3Fsstat(_ context.Context, a *nfsv3.Fsstat3args) (nfsv3.Fsstat3res, error) {
	fail := func(err error) (nfsv3.Fsstat3res, error) {
		return &nfsv3.Fsstat3res_default{Status: status.Of(err), Resfail: nfsv3.Fsstat3resfail{ObjAttributes: noAttributes}}, nil
	}
	file, err := n.open(a.Fsroot, unix.O_PATH)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(file)
	var stat unix.Statfs_t
	if err := unix.Fstatfs(file, &stat); err != nil {
		return fail(err)
	}
	block := uint64(stat.Bsize)
	return &nfsv3.Fsstat3res_NFS3_OK{Resok: nfsv3.Fsstat3resok{
		ObjAttributes: after(file),
		Tbytes:        stat.Blocks * block,
		Fbytes:        stat.Bfree * block,
		Abytes:        stat.Bavail * block,
		Tfiles:        stat.Files,
		Ffiles:        stat.Ffree,
		Afiles:        stat.Ffree,
	}}, nil
}

func (n *nfsProgram) NfsV3Nfsproc3Fsinfo(_ context.Context, a *nfsv3.Fsinfo3args) (nfsv3.Fsinfo3res, error) {
	file, err := n.open(a.Fsroot, unix.O_PATH)
	if err != nil {
		return &nfsv3.Fsinfo3res_default{Status: status.Of(err), Resfail: nfsv3.Fsinfo3resfail{ObjAttributes: noAttributes}}, nil
	}
	defer unix.Close(file)
	return &nfsv3.Fsinfo3res_NFS3_OK{Resok: nfsv3.Fsinfo3resok{
		ObjAttributes: after(file),
		Rtmax:         maxTransfer,
		Rtpref:        maxTransfer,
		Rtmult:        1 << 12,
		Wtmax:         maxTransfer,
		Wtpref:        maxTransfer,
		Wtmult:        1 << 12,
		Dtpref:        maxDirectory,
		Maxfilesize:   1<<63 - 1,
		TimeDelta:     nfsv3.Nfstime3{Nseconds: 1},
		Properties:    nfsv3.FSF3_LINK | nfsv3.FSF3_SYMLINK | nfsv3.FSF3_HOMOGENEOUS | nfsv3.FSF3_CANSETTIME,
	}}, nil
}

func (n *nfsProgram) NfsV3Nfsproc3Pathconf(_ context.Context, a *nfsv3.Pathconf3args) (nfsv3.Pathconf3res, error) {
	file, err := n.open(a.Object, unix.O_PATH)
	if err != nil {
		return &nfsv3.Pathconf3res_default{Status: status.Of(err), Resfail: nfsv3.Pathconf3resfail{ObjAttributes: noAttributes}}, nil
	}
	defer unix.Close(file)
	return &nfsv3.Pathconf3res_NFS3_OK{Resok: nfsv3.Pathconf3resok{
		ObjAttributes: after(file), Linkmax: 1 << 15, NameMax: maxName, NoTrunc: true, ChownRestricted: true, CasePreserving: true,
	}}, nil
}

func (n *nfsProgram) NfsV3Nfsproc3Commit(_ context.Context, a *nfsv3.Commit3args) (nfsv3.Commit3res, error) {
	file, err := n.open(a.File, unix.O_RDONLY)
	if err == nil {
		defer unix.Close(file)
		err = unix.Fsync(file)
	}
	if err != nil {
		return &nfsv3.Commit3res_default{Status: status.Of(err), Resfail: nfsv3.Commit3resfail{FileWcc: noChange}}, nil
	}
	return &nfsv3.Commit3res_NFS3_OK{Resok: nfsv3.Commit3resok{FileWcc: change(file), Verf: n.verifier}}, nil
}
