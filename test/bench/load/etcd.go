//go:build etcd
// +build etcd

package main

import (
	"context"
	"time"

	"go.etcd.io/etcd/clientv3"
)

type etcdSystem struct {
	settings settings
	clients  []*clientv3.Client
}

func newEtcd(s settings) (system, error) {
	target := &etcdSystem{settings: s}
	for i := 0; i < s.connections; i++ {
		client, err := clientv3.New(clientv3.Config{
			Endpoints:   []string{s.endpoints[i%len(s.endpoints)]},
			DialTimeout: 10 * time.Second,
		})
		if err != nil {
			return nil, err
		}
		target.clients = append(target.clients, client)
	}
	return target, nil
}

func (target *etcdSystem) client(i int) caller {
	kv := target.clients[i%len(target.clients)]
	background := context.Background()
	return func(key string, put bool) error {
		if put {
			_, err := kv.Put(background, key, target.settings.value)
			return err
		}
		if target.settings.op == "local" {
			_, err := kv.Get(background, key, clientv3.WithSerializable())
			return err
		}
		_, err := kv.Get(background, key)
		return err
	}
}

func (target *etcdSystem) close() {
	for _, client := range target.clients {
		_ = client.Close()
	}
}
