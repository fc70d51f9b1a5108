package main

import (
	"context"
	"log"

	"github.com/buildbarn/go-xdr/pkg/protocols/mount"
	"github.com/buildbarn/go-xdr/pkg/protocols/rpcv2"
	"golang.org/x/sys/unix"

	"sandbox/nfs/status"
)

// mountProgram gives clients the handle they start with. Version 1 of the protocol belongs to NFS version 2.
type mountProgram struct{ *export }

func (m *mountProgram) MountV3Mountproc3Null(context.Context) error { return nil }

func (m *mountProgram) MountV3Mountproc3Mnt(_ context.Context, path string) (mount.Mountres3, error) {
	folder, err := m.openPath(path)
	if err != nil {
		log.Printf("mount %s: %v", path, err)
		return &mount.Mountres3_default{FhsStatus: mount.Mountstat3(status.Of(err))}, nil
	}
	defer unix.Close(folder)
	handle, err := m.handle(folder)
	if err != nil {
		return &mount.Mountres3_default{FhsStatus: mount.Mountstat3(status.Of(err))}, nil
	}
	flavors := []int32{int32(rpcv2.AUTH_SYS)}
	return &mount.Mountres3_MNT3_OK{Mountinfo: mount.Mountres3Ok{Fhandle: handle.Data, AuthFlavors: flavors}}, nil
}

func (m *mountProgram) MountV3Mountproc3Umnt(context.Context, string) error { return nil }

func (m *mountProgram) MountV3Mountproc3Umntall(context.Context) error { return nil }

// MountV3Mountproc3Dump names no clients: the server does not remember them.
func (m *mountProgram) MountV3Mountproc3Dump(context.Context) (*mount.Mountbody, error) {
	return nil, nil
}

func (m *mountProgram) MountV3Mountproc3Export(context.Context) (*mount.Exportnode, error) {
	return &mount.Exportnode{ExDir: m.path}, nil
}

func (m *mountProgram) MountV1MountprocNull(context.Context) error { return nil }

func (m *mountProgram) MountV1MountprocMnt(context.Context, string) (mount.Fhstatus, error) {
	return &mount.Fhstatus_default{Status: uint32(mount.MNT3ERR_NOTSUPP)}, nil
}

func (m *mountProgram) MountV1MountprocDump(ctx context.Context) (*mount.Mountbody, error) {
	return m.MountV3Mountproc3Dump(ctx)
}

func (m *mountProgram) MountV1MountprocUmnt(context.Context, string) error { return nil }

func (m *mountProgram) MountV1MountprocUmntall(context.Context) error { return nil }

func (m *mountProgram) MountV1MountprocExport(ctx context.Context) (*mount.Exportnode, error) {
	return m.MountV3Mountproc3Export(ctx)
}
