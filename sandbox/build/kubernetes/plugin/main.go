// Command plugin is Pulumi's official Kubernetes plugin, as its own repository builds it. schema.json is that of the
// module, which the build puts here.
package main

import (
	_ "embed"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
)

//go:embed schema.json
var schema string

func main() {
	// The engine compares the schema's version with the plugin's.
	versioned := `{"version": "` + version.Version + `",` + schema[1:]
	provider.Serve("kubernetes", version.Version, []byte(versioned), []byte("{}"))
}
