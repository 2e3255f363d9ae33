// A closed-loop load generator for the comparison with etcd: the same loop, clock and statistics for both systems,
// so that what differs is the servers and their protocol. Prints one JSON object.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io/ioutil"
	"math/rand"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// caller puts or gets and returns when the answer is here. Each client has its own.
type caller func(key string, put bool) error

type system interface {
	// client number i of n; all of them share `connections` connections.
	client(i int) caller
	close()
}

type settings struct {
	endpoints   []string
	op          string // put, get, local, mixed
	clients     int
	connections int
	value       string
}

// The clock ticks of /proc/PID/stat: USER_HZ is 100 on every Linux that Go runs on.
const ticksPerSecond = 100

func cpuOf(pid int) float64 {
	bytes, err := ioutil.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	text := string(bytes)
	fields := strings.Fields(text[strings.LastIndex(text, ")")+1:])
	user, _ := strconv.ParseFloat(fields[11], 64)
	kernel, _ := strconv.ParseFloat(fields[12], 64)
	return (user + kernel) / ticksPerSecond
}

func cpuOfAll(pids []int) float64 {
	sum := 0.0
	for _, pid := range pids {
		sum += cpuOf(pid)
	}
	return sum
}

func ownCpu() float64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func percentile(sorted []int64, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[int(share*float64(len(sorted)-1))]) / 1e6
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "load:", err)
	os.Exit(1)
}

func main() {
	kind := flag.String("system", "resp", "resp or etcd")
	endpoints := flag.String("endpoints", "127.0.0.1:7001", "comma-separated; clients are spread over them")
	op := flag.String("op", "put", "put, get (linearizable), local (serializable, at the node asked) or mixed (half put, half get)")
	clients := flag.Int("clients", 16, "operations in flight")
	connections := flag.Int("connections", 0, "connections that the clients share; 0: one each")
	seconds := flag.Float64("seconds", 3, "measured time")
	warm := flag.Float64("warm", 1, "time before the measurement")
	keys := flag.Int("keys", 100000, "size of the key space; keys have 16 bytes")
	size := flag.Int("size", 256, "bytes of a value")
	fill := flag.Bool("fill", false, "put every key once, in order, instead of measuring for a time")
	pause := flag.Duration("pause", 0, "rest of a client after each operation")
	pids := flag.String("pids", "", "comma-separated processes whose CPU time is charged to the servers")
	flag.Parse()

	s := settings{strings.Split(*endpoints, ","), *op, *clients, *connections, ""}
	if s.connections == 0 || s.connections > s.clients {
		s.connections = s.clients
	}
	random := rand.New(rand.NewSource(1))
	value := make([]byte, *size)
	for i := range value {
		value[i] = byte('a' + random.Intn(26))
	}
	s.value = string(value)
	servers := []int{}
	for _, text := range strings.Split(*pids, ",") {
		if pid, err := strconv.Atoi(text); err == nil {
			servers = append(servers, pid)
		}
	}

	var target system
	var err error
	if *kind == "etcd" {
		target, err = newEtcd(s)
	} else {
		target, err = newResp(s)
	}
	if err != nil {
		fail(err)
	}

	var measuring, stopped int32
	var next, failures int64
	var firstError atomic.Value
	latencies := make([][]int64, s.clients)
	var wait, ready sync.WaitGroup
	for i := 0; i < s.clients; i++ {
		wait.Add(1)
		ready.Add(1)
		go func(i int) {
			defer wait.Done()
			call := target.client(i)
			random := rand.New(rand.NewSource(int64(i) + 7))
			// Connecting is not what is measured.
			if !*fill {
				_ = call(fmt.Sprintf("key%013d", random.Intn(*keys)), s.op == "put")
			}
			ready.Done()
			mine := make([]int64, 0, 1<<14)
			for atomic.LoadInt32(&stopped) == 0 {
				number := random.Intn(*keys)
				if *fill {
					number = int(atomic.AddInt64(&next, 1)) - 1
					if number >= *keys {
						break
					}
				}
				counts := *fill || atomic.LoadInt32(&measuring) == 1
				started := time.Now()
				err := call(fmt.Sprintf("key%013d", number), s.op == "put" || (s.op == "mixed" && random.Intn(2) == 0))
				if err != nil {
					firstError.CompareAndSwap(nil, err.Error())
					if atomic.AddInt64(&failures, 1) > 10 {
						break
					}
				} else if counts && (*fill || atomic.LoadInt32(&measuring) == 1) {
					mine = append(mine, int64(time.Since(started)))
				}
				if *pause > 0 {
					time.Sleep(*pause)
				}
			}
			latencies[i] = mine
		}(i)
	}

	if !*fill {
		ready.Wait()
		time.Sleep(time.Duration(*warm * float64(time.Second)))
	}
	serverStart, ownStart, started := cpuOfAll(servers), ownCpu(), time.Now()
	atomic.StoreInt32(&measuring, 1)
	if *fill {
		wait.Wait()
	} else {
		time.Sleep(time.Duration(*seconds * float64(time.Second)))
	}
	atomic.StoreInt32(&measuring, 2)
	elapsed := time.Since(started).Seconds()
	serverCpu, clientCpu := cpuOfAll(servers)-serverStart, ownCpu()-ownStart
	atomic.StoreInt32(&stopped, 1)
	wait.Wait()
	target.close()

	all := []int64{}
	for _, mine := range latencies {
		all = append(all, mine...)
	}
	sort.Slice(all, func(a, b int) bool { return all[a] < all[b] })
	count := float64(len(all))
	perOp := func(cpu float64) float64 {
		if count == 0 {
			return 0
		}
		return cpu * 1e6 / count
	}
	message, _ := firstError.Load().(string)
	_ = json.NewEncoder(os.Stdout).Encode(map[string]interface{}{
		"ops": len(all), "perSecond": count / elapsed, "p50": percentile(all, 0.5), "p99": percentile(all, 0.99),
		"serverCpu": perOp(serverCpu), "clientCpu": perOp(clientCpu), "failures": failures, "error": message,
	})
}
