// Package ext is where Traefik leaves room for products that are built on it. Nothing is added here.
package ext

// HTTP adds nothing to the configuration.
type HTTP struct{}

// Router adds nothing to a router.
type Router struct{}
