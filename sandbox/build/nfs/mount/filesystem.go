package main

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"github.com/buildbarn/go-xdr/pkg/protocols/nfsv3"
	"github.com/buildbarn/go-xdr/pkg/protocols/rpcv2"
	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const (
	maxTransfer  = 1 << 20
	maxDirectory = 1 << 16
	blockSize    = 512
)

// How long the kernel trusts attributes of open files. A name is asked for at every use, which brings its attributes:
// who opens a file sees what others wrote before.
var attributeTime = time.Second

var modes = map[nfsv3.Ftype3]uint32{
	nfsv3.NF3BLK:  unix.S_IFBLK,
	nfsv3.NF3CHR:  unix.S_IFCHR,
	nfsv3.NF3DIR:  unix.S_IFDIR,
	nfsv3.NF3FIFO: unix.S_IFIFO,
	nfsv3.NF3LNK:  unix.S_IFLNK,
	nfsv3.NF3REG:  unix.S_IFREG,
	nfsv3.NF3SOCK: unix.S_IFSOCK,
}

// serve mounts and stays until the folder is unmounted.
func serve(wanted request) error {
	c, err := dial(wanted.address)
	if err != nil {
		return err
	}
	handle, err := mountRoot(c, wanted.path)
	if err != nil {
		return err
	}
	root := &node{client: c, handle: handle}
	attributes, err := root.attributes()
	if err != nil {
		return err
	}
	stable := stableAttributes(handle, attributes)
	server, err := fs.Mount(wanted.target, root, &fs.Options{
		AttrTimeout:    &attributeTime,
		RootStableAttr: &stable,
		MountOptions: fuse.MountOptions{
			AllowOther:         true,
			DirectMountStrict:  true,
			DirectMountFlags:   wanted.flags | syscall.MS_MGC_VAL,
			DisableReadDirPlus: true,
			DisableXAttrs:      true,
			FsName:             wanted.source,
			MaxReadAhead:       maxTransfer,
			MaxWrite:           maxTransfer,
			Name:               "nfs",
			// The kernel checks what a caller may do, knowing all its groups.
			Options: []string{"default_permissions"},
		},
	})
	if err != nil {
		return err
	}
	if err := reportMounted(); err != nil {
		return err
	}
	server.Wait()
	return nil
}

// node is a file or folder; the library keeps one for each that the kernel knows.
type node struct {
	fs.Inode
	client *client
	handle nfsv3.NfsFh3

	lock sync.Mutex
	// Of written data that the server may lose: its verifier then, and whether a later one told of a loss.
	uncommitted bool
	verifier    nfsv3.Writeverf3
	lost        bool
}

var _ interface {
	fs.NodeCreater
	fs.NodeFsyncer
	fs.NodeGetattrer
	fs.NodeLinker
	fs.NodeLookuper
	fs.NodeMkdirer
	fs.NodeOpener
	fs.NodeReaddirer
	fs.NodeReader
	fs.NodeReadlinker
	fs.NodeRenamer
	fs.NodeRmdirer
	fs.NodeSetattrer
	fs.NodeStatfser
	fs.NodeSymlinker
	fs.NodeUnlinker
	fs.NodeWriter
} = (*node)(nil)

// open is an open file.
type open struct {
	stable nfsv3.StableHow
	append bool
}

// openWith returns a file opened with flags of open(2), and what the kernel is told about it.
func openWith(flags uint32) (*open, uint32) {
	file := &open{stable: nfsv3.UNSTABLE, append: flags&unix.O_APPEND != 0}
	if flags&(unix.O_SYNC|unix.O_DSYNC) != 0 {
		file.stable = nfsv3.FILE_SYNC
	}
	if file.append {
		// The kernel is not to keep data where it thinks that the file ends.
		return file, fuse.FOPEN_DIRECT_IO
	}
	return file, 0
}

// helper is who the server thinks it serves, except where a file gets its owner.
var helper = &rpcv2.AuthsysParms{}

func callerOf(ctx context.Context) *rpcv2.AuthsysParms {
	if caller, ok := fuse.FromContext(ctx); ok {
		return &rpcv2.AuthsysParms{Uid: caller.Uid, Gid: caller.Gid}
	}
	return helper
}

func stableAttributes(handle nfsv3.NfsFh3, attributes *nfsv3.Fattr3) fs.StableAttr {
	// A file that gets the number of a deleted one has another handle.
	generation := fnv.New64a()
	generation.Write(handle.Data)
	return fs.StableAttr{Mode: modes[attributes.Type], Ino: attributes.Fileid, Gen: generation.Sum64()}
}

func fill(out *fuse.Attr, a *nfsv3.Fattr3) {
	*out = fuse.Attr{
		Ino:       a.Fileid,
		Size:      a.Size,
		Blocks:    a.Used / blockSize,
		Atime:     uint64(a.Atime.Seconds),
		Atimensec: a.Atime.Nseconds,
		Mtime:     uint64(a.Mtime.Seconds),
		Mtimensec: a.Mtime.Nseconds,
		Ctime:     uint64(a.Ctime.Seconds),
		Ctimensec: a.Ctime.Nseconds,
		Mode:      modes[a.Type] | a.Mode,
		Nlink:     a.Nlink,
		Owner:     fuse.Owner{Uid: a.Uid, Gid: a.Gid},
		Rdev:      uint32(unix.Mkdev(a.Rdev.Specdata1, a.Rdev.Specdata2)),
	}
}

func (n *node) attributes() (*nfsv3.Fattr3, error) {
	answer, err := invoke(n.client, procedureGetattr, helper, &nfsv3.Getattr3args{Object: n.handle}, nfsv3.ReadGetattr3res)
	if err != nil {
		return nil, err
	}
	return &answer.(*nfsv3.Getattr3res_NFS3_OK).Resok.ObjAttributes, nil
}

func (n *node) named(name string) nfsv3.Diropargs3 {
	return nfsv3.Diropargs3{Dir: n.handle, Name: name}
}

// child returns the inode of a file that the server has just described.
func (n *node) child(ctx context.Context, handle nfsv3.NfsFh3, described nfsv3.PostOpAttr, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	child := &node{client: n.client, handle: handle}
	var attributes *nfsv3.Fattr3
	if known, ok := described.(*nfsv3.PostOpAttr_TRUE); ok {
		attributes = &known.Attributes
	} else {
		var err error
		if attributes, err = child.attributes(); err != nil {
			return nil, errnoOf(err)
		}
	}
	fill(&out.Attr, attributes)
	return n.NewInode(ctx, child, stableAttributes(handle, attributes)), 0
}

// created returns the inode of what a call has created, or had when it was sent before.
func (n *node) created(
	ctx context.Context, err error, name string, handle nfsv3.PostOpFh3, described nfsv3.PostOpAttr, out *fuse.EntryOut,
) (*fs.Inode, syscall.Errno) {
	if err != nil && err != errDoneBefore {
		return nil, errnoOf(err)
	}
	if known, ok := handle.(*nfsv3.PostOpFh3_TRUE); ok {
		return n.child(ctx, known.Handle, described, out)
	}
	return n.Lookup(ctx, name, out)
}

func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	answer, err := invoke(n.client, procedureLookup, helper, &nfsv3.Lookup3args{What: n.named(name)}, nfsv3.ReadLookup3res)
	if err != nil {
		return nil, errnoOf(err)
	}
	found := answer.(*nfsv3.Lookup3res_NFS3_OK).Resok
	return n.child(ctx, found.Object, found.ObjAttributes, out)
}

func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	attributes, err := n.attributes()
	if err != nil {
		return errnoOf(err)
	}
	fill(&out.Attr, attributes)
	return 0
}

func unchanged() nfsv3.Sattr3 {
	return nfsv3.Sattr3{
		Mode:  &nfsv3.SetMode3_default{},
		Uid:   &nfsv3.SetUid3_default{},
		Gid:   &nfsv3.SetGid3_default{},
		Size:  &nfsv3.SetSize3_default{},
		Atime: &nfsv3.SetAtime_default{},
		Mtime: &nfsv3.SetMtime_default{},
	}
}

func withMode(mode uint32) nfsv3.Sattr3 {
	wanted := unchanged()
	wanted.Mode = &nfsv3.SetMode3_TRUE{Mode: mode & 0o7777}
	return wanted
}

func (n *node) Setattr(ctx context.Context, file fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	wanted := unchanged()
	if mode, ok := in.GetMode(); ok {
		wanted.Mode = &nfsv3.SetMode3_TRUE{Mode: mode}
	}
	if uid, ok := in.GetUID(); ok {
		wanted.Uid = &nfsv3.SetUid3_TRUE{Uid: uid}
	}
	if gid, ok := in.GetGID(); ok {
		wanted.Gid = &nfsv3.SetGid3_TRUE{Gid: gid}
	}
	if size, ok := in.GetSize(); ok {
		wanted.Size = &nfsv3.SetSize3_TRUE{Size: size}
	}
	if time, ok := in.GetATime(); ok {
		wanted.Atime = &nfsv3.SetAtime_SET_TO_CLIENT_TIME{Atime: nfsTime(time)}
	}
	if time, ok := in.GetMTime(); ok {
		wanted.Mtime = &nfsv3.SetMtime_SET_TO_CLIENT_TIME{Mtime: nfsTime(time)}
	}
	if err := n.set(wanted); err != nil {
		return errnoOf(err)
	}
	return n.Getattr(ctx, file, out)
}

func nfsTime(time time.Time) nfsv3.Nfstime3 {
	return nfsv3.Nfstime3{Seconds: uint32(time.Unix()), Nseconds: uint32(time.Nanosecond())}
}

func (n *node) set(wanted nfsv3.Sattr3) error {
	arguments := &nfsv3.Setattr3args{Object: n.handle, NewAttributes: wanted, Guard: &nfsv3.Sattrguard3_FALSE{}}
	_, err := invoke(n.client, procedureSetattr, helper, arguments, nfsv3.ReadSetattr3res)
	return err
}

func (n *node) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	file, told := openWith(flags)
	return file, told, 0
}

func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	wanted := withMode(mode)
	arguments := &nfsv3.Create3args{Where: n.named(name)}
	exclusive := flags&unix.O_EXCL != 0
	if exclusive {
		verifier := &nfsv3.Createhow3_EXCLUSIVE{}
		for i := range verifier.Verf {
			verifier.Verf[i] = byte(rand.Int())
		}
		arguments.How = verifier
	} else {
		if flags&unix.O_TRUNC != 0 {
			wanted.Size = &nfsv3.SetSize3_TRUE{}
		}
		arguments.How = &nfsv3.Createhow3_UNCHECKED{ObjAttributes: wanted}
	}
	answer, err := invoke(n.client, procedureCreate, callerOf(ctx), arguments, nfsv3.ReadCreate3res)
	if err != nil {
		return nil, nil, 0, errnoOf(err)
	}
	made := answer.(*nfsv3.Create3res_NFS3_OK).Resok
	inode, errno := n.created(ctx, nil, name, made.Obj, made.ObjAttributes, out)
	if errno == 0 && exclusive {
		// An exclusive creation carries no attributes, and the times still are the mark of this one.
		made := inode.Operations().(*node)
		wanted.Atime = &nfsv3.SetAtime_default{SetIt: nfsv3.SET_TO_SERVER_TIME}
		wanted.Mtime = &nfsv3.SetMtime_default{SetIt: nfsv3.SET_TO_SERVER_TIME}
		if errno = errnoOf(made.set(wanted)); errno == 0 {
			attributes, err := made.attributes()
			if err != nil {
				return nil, nil, 0, errnoOf(err)
			}
			fill(&out.Attr, attributes)
		}
	}
	file, told := openWith(flags)
	return inode, file, told, errno
}

func (n *node) Read(_ context.Context, _ fs.FileHandle, buffer []byte, offset int64) (fuse.ReadResult, syscall.Errno) {
	arguments := &nfsv3.Read3args{File: n.handle, Offset: uint64(offset), Count: uint32(len(buffer))}
	answer, err := invoke(n.client, procedureRead, helper, arguments, nfsv3.ReadRead3res)
	if err != nil {
		return nil, errnoOf(err)
	}
	return fuse.ReadResultData(answer.(*nfsv3.Read3res_NFS3_OK).Resok.Data), 0
}

func (n *node) Write(_ context.Context, file fs.FileHandle, data []byte, offset int64) (uint32, syscall.Errno) {
	arguments := &nfsv3.Write3args{
		File: n.handle, Offset: uint64(offset), Count: uint32(len(data)), Stable: file.(*open).stable, Data: data,
	}
	if file.(*open).append {
		// Another client may have moved the end, which the kernel does not ask for.
		attributes, err := n.attributes()
		if err != nil {
			return 0, errnoOf(err)
		}
		arguments.Offset = attributes.Size
	}
	answer, err := invoke(n.client, procedureWrite, helper, arguments, nfsv3.ReadWrite3res)
	if err != nil {
		return 0, errnoOf(err)
	}
	written := answer.(*nfsv3.Write3res_NFS3_OK).Resok
	if written.Committed == nfsv3.UNSTABLE {
		n.lock.Lock()
		n.lost = n.lost || n.uncommitted && n.verifier != written.Verf
		n.uncommitted, n.verifier = true, written.Verf
		n.lock.Unlock()
	}
	return written.Count, 0
}

func (n *node) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	n.lock.Lock()
	defer n.lock.Unlock()
	answer, err := invoke(n.client, procedureCommit, helper, &nfsv3.Commit3args{File: n.handle}, nfsv3.ReadCommit3res)
	if err != nil {
		return errnoOf(err)
	}
	lost := n.lost || n.uncommitted && n.verifier != answer.(*nfsv3.Commit3res_NFS3_OK).Resok.Verf
	n.uncommitted, n.lost = false, false
	if lost {
		return unix.EIO
	}
	return 0
}

func (n *node) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	var list []fuse.DirEntry
	arguments := &nfsv3.Readdirplus3args{Dir: n.handle, Dircount: maxDirectory, Maxcount: maxDirectory}
	for {
		answer, err := invoke(n.client, procedureReaddirplus, helper, arguments, nfsv3.ReadReaddirplus3res)
		if err != nil {
			return nil, errnoOf(err)
		}
		page := answer.(*nfsv3.Readdirplus3res_NFS3_OK).Resok
		for entry := page.Reply.Entries; entry != nil; entry = entry.Nextentry {
			mode := uint32(unix.S_IFDIR)
			if known, ok := entry.NameAttributes.(*nfsv3.PostOpAttr_TRUE); ok {
				mode = modes[known.Attributes.Type]
			}
			list = append(list, fuse.DirEntry{Name: entry.Name, Ino: entry.Fileid, Mode: mode})
			arguments.Cookie = entry.Cookie
		}
		if page.Reply.Eof {
			return fs.NewListDirStream(list), 0
		}
		arguments.Cookieverf = page.Cookieverf
	}
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	arguments := &nfsv3.Mkdir3args{Where: n.named(name), Attributes: withMode(mode)}
	answer, err := invoke(n.client, procedureMkdir, callerOf(ctx), arguments, nfsv3.ReadMkdir3res)
	made := nfsv3.Mkdir3resok{}
	if err == nil {
		made = answer.(*nfsv3.Mkdir3res_NFS3_OK).Resok
	}
	return n.created(ctx, err, name, made.Obj, made.ObjAttributes, out)
}

func (n *node) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	content := nfsv3.Symlinkdata3{SymlinkAttributes: unchanged(), SymlinkData: target}
	arguments := &nfsv3.Symlink3args{Where: n.named(name), Symlink: content}
	answer, err := invoke(n.client, procedureSymlink, callerOf(ctx), arguments, nfsv3.ReadSymlink3res)
	made := nfsv3.Symlink3resok{}
	if err == nil {
		made = answer.(*nfsv3.Symlink3res_NFS3_OK).Resok
	}
	return n.created(ctx, err, name, made.Obj, made.ObjAttributes, out)
}

func (n *node) Readlink(context.Context) ([]byte, syscall.Errno) {
	answer, err := invoke(n.client, procedureReadlink, helper, &nfsv3.Readlink3args{Symlink: n.handle}, nfsv3.ReadReadlink3res)
	if err != nil {
		return nil, errnoOf(err)
	}
	return []byte(answer.(*nfsv3.Readlink3res_NFS3_OK).Resok.Data), 0
}

func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	arguments := &nfsv3.Link3args{File: target.(*node).handle, Link: n.named(name)}
	_, err := invoke(n.client, procedureLink, helper, arguments, nfsv3.ReadLink3res)
	return n.created(ctx, err, name, nil, nil, out)
}

func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	_, err := invoke(n.client, procedureRemove, helper, &nfsv3.Remove3args{Object: n.named(name)}, nfsv3.ReadRemove3res)
	return finished(err)
}

func (n *node) Rmdir(_ context.Context, name string) syscall.Errno {
	_, err := invoke(n.client, procedureRmdir, helper, &nfsv3.Rmdir3args{Object: n.named(name)}, nfsv3.ReadRmdir3res)
	return finished(err)
}

func (n *node) Rename(_ context.Context, name string, newParent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	if flags != 0 {
		return unix.EINVAL
	}
	arguments := &nfsv3.Rename3args{From: n.named(name), To: newParent.(*node).named(newName)}
	_, err := invoke(n.client, procedureRename, helper, arguments, nfsv3.ReadRename3res)
	return finished(err)
}

// finished is the result of a call without one, for which it is as good that it was done before.
func finished(err error) syscall.Errno {
	if err == errDoneBefore {
		return 0
	}
	return errnoOf(err)
}

func (n *node) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	answer, err := invoke(n.client, procedureFsstat, helper, &nfsv3.Fsstat3args{Fsroot: n.handle}, nfsv3.ReadFsstat3res)
	if err != nil {
		return errnoOf(err)
	}
	stat := answer.(*nfsv3.Fsstat3res_NFS3_OK).Resok
	const block = 1 << 12
	*out = fuse.StatfsOut{
		Blocks: stat.Tbytes / block, Bfree: stat.Fbytes / block, Bavail: stat.Abytes / block,
		Files: stat.Tfiles, Ffree: stat.Ffiles, Bsize: block, Frsize: block, NameLen: 255,
	}
	return 0
}
