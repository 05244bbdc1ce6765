// The transcript on github.com/coder/websocket, in JSON: main <transcript.json> <url>
package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"time"

	"github.com/coder/websocket"
)

// After which a frame that is waited for does not come.
const patience = time.Minute

type object = map[string]any

type step struct {
	On        string
	Open      bool
	Send      object
	Malformed struct{ JSON string }
	Ping      string
	Close     websocket.StatusCode
	Expect    []object
}

// A connection that is read all the time, as the library sees pongs and closes only then.
type connection struct {
	socket   *websocket.Conn
	messages chan []byte
	closed   chan error
}

type transcript struct {
	Names []string
	IDs   []string
	Steps []step
}

var name = regexp.MustCompile("<(.*?)>")

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(path, url string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var played transcript
	if err := json.Unmarshal(text, &played); err != nil {
		return err
	}
	values := map[string]any{}
	for _, name := range played.Names {
		values[name] = name + hex.EncodeToString(random(6))
	}
	for _, name := range played.IDs {
		values[name] = uuidV7()
	}
	connections := map[string]*connection{}
	for index, step := range played.Steps {
		if err := play(step, url, connections, values); err != nil {
			return fmt.Errorf("step %d, %+v: %w", index+1, step, err)
		}
	}
	fmt.Println(len(played.Steps), "steps")
	return nil
}

func play(step step, url string, connections map[string]*connection, values map[string]any) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	connection := connections[step.On]
	switch {
	case step.Open:
		opened, err := open(ctx, url)
		connections[step.On] = opened
		return err
	case step.Send != nil:
		text, err := json.Marshal(fill(step.Send, values))
		if err != nil {
			return err
		}
		return connection.socket.Write(ctx, websocket.MessageText, text)
	case step.Malformed.JSON != "":
		return connection.socket.Write(ctx, websocket.MessageText, []byte(step.Malformed.JSON))
	case step.Ping != "":
		// The library chooses the payload, and checks that of the pong.
		return connection.socket.Ping(ctx)
	case step.Close != 0:
		return connection.close(ctx, step.Close)
	default:
		return expect(ctx, connection, step.Expect, values)
	}
}

func expect(ctx context.Context, connection *connection, frames []object, values map[string]any) error {
	expected := append([]object(nil), frames...)
	for len(expected) > 0 {
		var text []byte
		select {
		case text = <-connection.messages:
		case <-ctx.Done():
			return errors.New("nothing came")
		}
		var frame object
		if err := json.Unmarshal(text, &frame); err != nil {
			return fmt.Errorf("no JSON: %q", text)
		}
		if frame["ping"] != nil {
			continue
		}
		found := -1
		for index, candidate := range expected {
			if caught, ok := matches(candidate, frame, values); ok {
				maps.Copy(values, caught)
				found = index
				break
			}
		}
		if found < 0 {
			return fmt.Errorf("came: %s", text)
		}
		expected = append(expected[:found], expected[found+1:]...)
	}
	return nil
}

func open(ctx context.Context, url string) (*connection, error) {
	socket, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{"hudhud.v1.json"}})
	if err != nil {
		return nil, err
	}
	opened := &connection{socket, make(chan []byte, 64), make(chan error, 1)}
	go func() {
		for {
			kind, text, err := socket.Read(context.Background())
			if err == nil && kind != websocket.MessageText {
				err = errors.New("JSON comes in text messages")
			}
			if err != nil {
				opened.closed <- err
				return
			}
			opened.messages <- text
		}
	}()
	return opened, nil
}

func (c *connection) close(ctx context.Context, code websocket.StatusCode) error {
	if err := c.socket.Close(code, ""); err != nil {
		return err
	}
	select {
	case err := <-c.closed:
		if came := websocket.CloseStatus(err); came != code {
			return fmt.Errorf("closed with %d: %w", came, err)
		}
		return nil
	case <-ctx.Done():
		return errors.New("no close came")
	}
}

// Whether a frame is what was expected, and the values with those that were caught in it.
func matches(expected, came any, values map[string]any) (map[string]any, bool) {
	switch expected := expected.(type) {
	case object:
		came, ok := came.(object)
		for key, value := range expected {
			inner, there := came[key]
			if ok = ok && there; ok {
				values, ok = matches(value, inner, values)
			}
		}
		return values, ok
	case []any:
		came, ok := came.([]any)
		ok = ok && len(came) == len(expected)
		for index := 0; ok && index < len(expected); index++ {
			values, ok = matches(expected[index], came[index], values)
		}
		return values, ok
	case string:
		if name := name.FindStringSubmatch(expected); name != nil && name[0] == expected {
			if value, known := values[name[1]]; known {
				return values, value == came
			}
			caught := maps.Clone(values)
			caught[name[1]] = came
			return caught, true
		}
	}
	return values, reflect.DeepEqual(expected, came)
}

func fill(value any, values map[string]any) any {
	switch value := value.(type) {
	case object:
		filled := object{}
		for key, inner := range value {
			filled[key] = fill(inner, values)
		}
		return filled
	case string:
		return name.ReplaceAllStringFunc(value, func(name string) string { return values[name[1:len(name)-1]].(string) })
	}
	return value
}

func random(count int) []byte {
	bytes := make([]byte, count)
	rand.Read(bytes)
	return bytes
}

// RFC 9562, section 5.7.
func uuidV7() string {
	bytes := random(16)
	now := binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixMilli()))
	copy(bytes, now[2:])
	bytes[6] = 0x70 | bytes[6]&0x0f
	bytes[8] = 0x80 | bytes[8]&0x3f
	return base64.StdEncoding.EncodeToString(bytes)
}
