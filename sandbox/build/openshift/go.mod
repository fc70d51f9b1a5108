// Only a file of this module is used: the definition of the Route resource.
module sandbox/openshift

go 1.24.0

require github.com/openshift/api v0.0.0-20260317165824-54a3998d81eb
