//go:build !etcd
// +build !etcd

package main

import "errors"

func newEtcd(s settings) (system, error) {
	return nil, errors.New("built without etcd's client package")
}
