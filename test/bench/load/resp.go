package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
)

// One connection. A client that has it to itself writes and reads in turn; clients that share it pipeline.
type respConnection struct {
	socket  net.Conn
	in      *bufio.Reader
	out     *bufio.Writer
	queue   chan *respRequest
	pending chan *respRequest
	ended   sync.WaitGroup
}
type respRequest struct {
	key  string
	put  bool
	done chan error
}
type respSystem struct {
	settings    settings
	connections []*respConnection
}

func newResp(s settings) (system, error) {
	target := &respSystem{settings: s}
	for i := 0; i < s.connections; i++ {
		socket, err := net.Dial("tcp", s.endpoints[i%len(s.endpoints)])
		if err != nil {
			return nil, err
		}
		c := &respConnection{socket: socket, in: bufio.NewReaderSize(socket, 1<<16), out: bufio.NewWriterSize(socket, 1<<16)}
		target.connections = append(target.connections, c)
		if s.op == "local" {
			_, _ = c.out.WriteString("*1\r\n$8\r\nREADONLY\r\n")
			_ = c.out.Flush()
			if err := c.readReply(); err != nil {
				return nil, err
			}
		}
		if s.connections < s.clients {
			c.queue = make(chan *respRequest, s.clients)
			c.pending = make(chan *respRequest, s.clients)
			c.ended.Add(2)
			go c.writeAll(s)
			go c.readAll()
		}
	}
	return target, nil
}

func (target *respSystem) client(i int) caller {
	c := target.connections[i%len(target.connections)]
	if c.queue == nil {
		return func(key string, put bool) error {
			c.write(target.settings, key, put)
			if err := c.out.Flush(); err != nil {
				return err
			}
			return c.readReply()
		}
	}
	request := &respRequest{done: make(chan error, 1)}
	return func(key string, put bool) error {
		request.key = key
		request.put = put
		c.queue <- request
		return <-request.done
	}
}

func (target *respSystem) close() {
	for _, c := range target.connections {
		if c.queue != nil {
			close(c.queue)
			c.ended.Wait()
		}
		_ = c.socket.Close()
	}
}

func (c *respConnection) write(s settings, key string, put bool) {
	if put {
		_, _ = c.out.WriteString("*3\r\n$3\r\nSET\r\n$")
	} else {
		_, _ = c.out.WriteString("*2\r\n$3\r\nGET\r\n$")
	}
	_, _ = c.out.WriteString(strconv.Itoa(len(key)))
	_, _ = c.out.WriteString("\r\n")
	_, _ = c.out.WriteString(key)
	if put {
		_, _ = c.out.WriteString("\r\n$")
		_, _ = c.out.WriteString(strconv.Itoa(len(s.value)))
		_, _ = c.out.WriteString("\r\n")
		_, _ = c.out.WriteString(s.value)
	}
	_, _ = c.out.WriteString("\r\n")
}

// Flushes when nobody else waits to be written.
func (c *respConnection) writeAll(s settings) {
	defer c.ended.Done()
	for request := range c.queue {
		c.pending <- request
		c.write(s, request.key, request.put)
		if len(c.queue) == 0 {
			_ = c.out.Flush()
		}
	}
	close(c.pending)
}

func (c *respConnection) readAll() {
	defer c.ended.Done()
	for request := range c.pending {
		request.done <- c.readReply()
	}
}

func (c *respConnection) readReply() error {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if len(line) < 3 {
		return errors.New("short reply")
	}
	switch line[0] {
	case '+', ':', '_':
		return nil
	case '-':
		return errors.New(string(line[1 : len(line)-2]))
	case '$':
		length, err := strconv.Atoi(string(line[1 : len(line)-2]))
		if err != nil || length < 0 {
			return err
		}
		_, err = io.CopyN(io.Discard, c.in, int64(length)+2)
		return err
	}
	return fmt.Errorf("unexpected reply %q", line)
}
