// Command mount.nfs mounts NFS version 3 on a kernel that has no NFS client, by FUSE.
//
// mount(8) runs it as `mount.nfs SERVER:/PATH FOLDER -o OPTIONS`, with a server that has the MOUNT protocol on the port
// of NFS. It returns when the folder is mounted, and leaves a process behind that ends with the mount. Like a hard mount,
// that one waits for a server that is away. Names are ASCII.
package main

import (
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

const (
	// failed is the exit code of mount(8) for a mount that failed.
	failed   = 32
	logFile  = "/var/log/sandbox/mount.nfs.log"
	nfsPort  = "2049"
	inBehind = "MOUNT_NFS_BEHIND"
	// The first file descriptor after standard error.
	reportDescriptor = 3
)

type request struct {
	source, target string
	address, path  string
	flags          uintptr
}

func main() {
	log.SetFlags(log.LstdFlags)
	wanted, err := parse(os.Args[1:])
	if err != nil {
		fail(err)
	}
	if os.Getenv(inBehind) == "" {
		err = startBehind()
	} else {
		err = serve(wanted)
	}
	if err != nil {
		fail(fmt.Errorf("%s: %w", wanted.source, err))
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "mount.nfs:", err)
	os.Exit(failed)
}

// parse reads the arguments of mount(8). Options that set how the kernel's client works have no meaning here.
func parse(arguments []string) (request, error) {
	wanted := request{}
	var places []string
	options := ""
	for i := 0; i < len(arguments); i++ {
		switch argument := arguments[i]; {
		case argument == "-o" && i+1 < len(arguments):
			i++
			options = arguments[i]
		case !strings.HasPrefix(argument, "-"):
			places = append(places, argument)
		}
	}
	if len(places) != 2 {
		return wanted, fmt.Errorf("usage: mount.nfs SERVER:/PATH FOLDER -o OPTIONS, not %q", arguments)
	}
	wanted.source, wanted.target = places[0], places[1]
	separator := strings.Index(wanted.source, ":/")
	if separator < 1 {
		return wanted, fmt.Errorf("%q is not SERVER:/PATH", wanted.source)
	}
	port := nfsPort
	for _, option := range strings.Split(options, ",") {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "vers", "nfsvers":
			if value != "3" {
				return wanted, fmt.Errorf("option %s: only version 3 is supported", option)
			}
		case "port":
			port = value
		case "ro":
			wanted.flags |= syscall.MS_RDONLY
		case "noexec":
			wanted.flags |= syscall.MS_NOEXEC
		case "nosuid":
			wanted.flags |= syscall.MS_NOSUID
		case "nodev":
			wanted.flags |= syscall.MS_NODEV
		}
	}
	server := strings.Trim(wanted.source[:separator], "[]")
	wanted.path = wanted.source[separator+1:]
	wanted.address = net.JoinHostPort(server, port)
	return wanted, nil
}

// startBehind starts this program in a session of its own, so that the mount outlives who asked for it, and waits until
// it has mounted or failed.
func startBehind() error {
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	behind := exec.Command("/proc/self/exe")
	behind.Args = os.Args
	behind.Env = append(os.Environ(), inBehind+"=1")
	behind.Dir = "/"
	behind.Stderr = os.Stderr
	behind.ExtraFiles = []*os.File{writer}
	behind.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := behind.Start(); err != nil {
		return err
	}
	writer.Close()
	if _, err := reader.Read(make([]byte, 1)); err == nil {
		return nil
	}
	// It ended without a report, and has said why.
	behind.Wait()
	os.Exit(failed)
	return nil
}

// reportMounted lets the starter return, and turns standard error to the log.
func reportMounted() error {
	output, err := os.OpenFile(logFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer output.Close()
	log.SetPrefix(fmt.Sprintf("[%d] ", os.Getpid()))
	if err := syscall.Dup3(int(output.Fd()), int(os.Stderr.Fd()), 0); err != nil {
		return err
	}
	report := os.NewFile(reportDescriptor, "report")
	defer report.Close()
	_, err = report.Write([]byte{1})
	return err
}
