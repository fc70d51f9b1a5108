package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/buildbarn/go-xdr/pkg/protocols/rpcv2"
	"golang.org/x/sys/unix"
)

const (
	dialTime     = 5 * time.Second
	redialPause  = 200 * time.Millisecond
	markerSize   = 4
	lastFragment = 1 << 31
)

// message is a type of the protocols.
type message interface {
	io.WriterTo
	GetEncodedSizeBytes() int
}

// client calls a server and does not give up: a call ends when the server has answered, whenever that is.
type client struct {
	address string

	lock       sync.Mutex
	connection net.Conn // nil while there is none
	lastID     uint32
	pending    map[uint32]*call
}

type call struct {
	request []byte
	reply   chan []byte
	sent    int
}

// dial connects to a server, this first time with a time limit.
func dial(address string) (*client, error) {
	connection, err := net.DialTimeout("tcp", address, dialTime)
	if err != nil {
		return nil, err
	}
	c := &client{address: address, lastID: rand.Uint32(), pending: map[uint32]*call{}}
	go c.run(connection)
	return c, nil
}

func (c *client) run(connection net.Conn) {
	for {
		c.lock.Lock()
		c.connection = connection
		for _, waiting := range c.pending {
			c.send(waiting)
		}
		c.lock.Unlock()

		err := c.receive(connection)

		c.lock.Lock()
		c.connection = nil
		c.lock.Unlock()
		connection.Close()
		log.Printf("%s: %v; connecting again", c.address, err)
		connection = c.redial()
	}
}

func (c *client) redial() net.Conn {
	for {
		connection, err := net.DialTimeout("tcp", c.address, dialTime)
		if err == nil {
			log.Printf("%s: connected", c.address)
			return connection
		}
		time.Sleep(redialPause)
	}
}

// send writes a request if there is a connection; if that fails, the reader finds it broken, and run sends it again.
func (c *client) send(waiting *call) {
	if c.connection != nil {
		waiting.sent++
		c.connection.Write(waiting.request)
	}
}

func (c *client) receive(connection net.Conn) error {
	reader := bufio.NewReader(connection)
	for {
		record, err := readRecord(reader)
		if err != nil {
			return err
		}
		if len(record) < 4 {
			return io.ErrUnexpectedEOF
		}
		id := binary.BigEndian.Uint32(record)
		c.lock.Lock()
		answered := c.pending[id]
		delete(c.pending, id)
		c.lock.Unlock()
		if answered != nil {
			answered.reply <- record
		}
	}
}

func readRecord(reader io.Reader) ([]byte, error) {
	var record []byte
	for {
		var marker [markerSize]byte
		if _, err := io.ReadFull(reader, marker[:]); err != nil {
			return nil, err
		}
		header := binary.BigEndian.Uint32(marker[:])
		start := len(record)
		record = append(record, make([]byte, header&^lastFragment)...)
		if _, err := io.ReadFull(reader, record[start:]); err != nil {
			return nil, err
		}
		if header&lastFragment != 0 {
			return record, nil
		}
	}
}

// call calls a procedure for a user; it returns a reader of the result, and whether the request was sent more than
// once, so that the server may have done before what it was asked for.
func (c *client) call(program, procedure uint32, who *rpcv2.AuthsysParms, arguments message) (io.Reader, bool, error) {
	c.lock.Lock()
	c.lastID++
	id := c.lastID
	c.lock.Unlock()
	request, err := encode(id, program, procedure, who, arguments)
	if err != nil {
		return nil, false, err
	}
	waiting := &call{request: request, reply: make(chan []byte, 1)}
	c.lock.Lock()
	c.pending[id] = waiting
	c.send(waiting)
	c.lock.Unlock()
	reader := bytes.NewReader(<-waiting.reply)
	return reader, waiting.sent > 1, readHeader(reader)
}

func encode(id, program, procedure uint32, who *rpcv2.AuthsysParms, arguments message) ([]byte, error) {
	var credentials bytes.Buffer
	if _, err := who.WriteTo(&credentials); err != nil {
		return nil, err
	}
	header := rpcv2.RpcMsg{Xid: id, Body: &rpcv2.RpcMsgBody_CALL{Cbody: rpcv2.CallBody{
		Rpcvers: 2,
		Prog:    program,
		Vers:    3, // of both protocols
		Proc:    procedure,
		Cred:    rpcv2.OpaqueAuth{Flavor: rpcv2.AUTH_SYS, Body: credentials.Bytes()},
	}}}
	size := header.GetEncodedSizeBytes() + arguments.GetEncodedSizeBytes()
	request := bytes.NewBuffer(make([]byte, 0, markerSize+size))
	request.Write(binary.BigEndian.AppendUint32(nil, uint32(size)|lastFragment))
	if _, err := header.WriteTo(request); err != nil {
		return nil, err
	}
	if _, err := arguments.WriteTo(request); err != nil {
		// Most likely a name that is not ASCII.
		return nil, fmt.Errorf("%w: %v", unix.EILSEQ, err)
	}
	return request.Bytes(), nil
}

func readHeader(reader io.Reader) error {
	var header rpcv2.RpcMsg
	if _, err := header.ReadFrom(reader); err != nil {
		return err
	}
	if reply, ok := header.Body.(*rpcv2.RpcMsgBody_REPLY); ok {
		if accepted, ok := reply.Rbody.(*rpcv2.ReplyBody_MSG_ACCEPTED); ok {
			if accepted.Areply.ReplyData.GetStat() == rpcv2.SUCCESS {
				return nil
			}
		}
	}
	return fmt.Errorf("the server refused the call: %+v", header.Body)
}
