// Command nfsd serves a folder by NFS version 3 over TCP, the MOUNT protocol on the same port, without a portmapper.
//
// File handles are the kernel's own and requests leave no state behind, so clients go on after a restart as if nothing
// had happened. Whoever reaches the port and may mount has the whole folder: the caller's identity decides who owns
// what it creates, not what it may do. Names are ASCII.
package main

import (
	"log"
	"net"
	"os"

	"github.com/buildbarn/go-xdr/pkg/protocols/mount"
	"github.com/buildbarn/go-xdr/pkg/protocols/nfsv3"
	"github.com/buildbarn/go-xdr/pkg/rpcserver"
	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: nfsd ADDRESS:PORT FOLDER KEY-FILE")
	}
	address, folder, keyFile := os.Args[1], os.Args[2], os.Args[3]
	// What is created gets the mode that the client asked for.
	unix.Umask(0)
	export, err := newExport(folder, keyFile)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	server := rpcserver.NewServer(map[uint32]rpcserver.Service{
		mount.MOUNT_PROGRAM_PROGRAM_NUMBER: mount.NewMountProgramService(&mountProgram{export}),
		nfsv3.NFS_PROGRAM_PROGRAM_NUMBER:   nfsv3.NewNfsProgramService(&nfsProgram{export}),
	}, authenticator{})
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer connection.Close()
			if err := server.HandleConnection(connection, connection); err != nil {
				log.Printf("%s: %v", connection.RemoteAddr(), err)
			}
		}()
	}
}
