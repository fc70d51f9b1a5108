// Command s3d serves the folders of a folder as S3 buckets over TLS, to one account, with the posix backend of
// versitygw. What an object is besides its content (its ETag, its type) is kept in a folder beside them, for not every
// file system has extended attributes.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

func main() {
	if len(os.Args) != 7 {
		log.Fatal("usage: s3d ADDRESS:PORT BUCKETS METADATA CERTIFICATE KEY CREDENTIALS")
	}
	address, buckets, metadata := os.Args[1], os.Args[2], os.Args[3]
	certificate, key, credentials := os.Args[4], os.Args[5], os.Args[6]
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	account, err := config.LoadSharedConfigProfile(ctx, "default", func(o *config.LoadSharedConfigOptions) {
		o.CredentialsFiles = []string{credentials}
		o.ConfigFiles = []string{}
	})
	if err != nil {
		log.Fatal(err)
	}
	sidecar, err := meta.NewSideCar(metadata)
	if err != nil {
		log.Fatal(err)
	}
	store, err := posix.New(buckets, sidecar, posix.PosixOpts{
		SideCarDir:  metadata,
		Concurrency: 64,
		// The largest object that S3 copies in one request; zero would refuse every copy.
		CopyObjectThreshold: 5 << 30,
	})
	if err != nil {
		log.Fatal(err)
	}
	err = embedgw.RunVersityGW(ctx, store, &embedgw.Config{
		RootUserAccess:    account.Credentials.AccessKeyID,
		RootUserSecret:    account.Credentials.SecretAccessKey,
		Ports:             []string{address},
		CertFile:          certificate,
		KeyFile:           key,
		MaxConnections:    1024,
		MaxRequests:       512,
		MultipartMaxParts: 10000,
		KeepAlive:         true,
		Quiet:             true,
	})
	if err != nil {
		log.Fatal(err)
	}
}
