// Prints what cosmos/iavl v1 makes of given operations; see README.md beside this file.
package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"

	"github.com/cosmos/iavl"
	dbm "github.com/cosmos/iavl/db"
)

type scenario struct {
	Name     string         `json:"name"`
	Seed     uint64         `json:"seed"`
	Versions int            `json:"versions"`
	Ops      int            `json:"operations"`
	Keys     uint64         `json:"keys"`
	KeyBytes int            `json:"key_bytes"`
	Initial  uint64         `json:"initial_version"`
	Fast     bool           `json:"fast"`
	Prune    map[int]int64  `json:"prune"`    // after the n-th save: delete versions to
	Rollback map[int]int64  `json:"rollback"` // after the n-th save: load for overwriting
	Idle     map[int]bool   `json:"idle"`     // saves without operations
	Clear    map[int]bool   `json:"clear"`    // saves before which everything is removed
	Full     bool           `json:"full"`
	Saves    []save         `json:"saves"`
}
type save struct {
	Version int64             `json:"version"`
	Root    string            `json:"root"`
	Nodes   string            `json:"nodes"`          // digest of rows s|
	Pruned  string            `json:"pruned,omitempty"`
	Fast    string            `json:"index,omitempty"` // digest of rows f| and m|
	Rows    map[string]string `json:"rows,omitempty"`
}

type stream struct{ x uint64 }

func (s *stream) next() uint64 {
	s.x += 0x9E3779B97F4A7C15
	z := s.x
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
	z = (z ^ (z >> 27)) * 0x94D049BB133111EB
	return z ^ (z >> 31)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func dump(db *dbm.MemDB, prefixes string, rows map[string]string) string {
	h := sha256.New()
	it, err := db.Iterator(nil, nil)
	check(err)
	defer it.Close()
	n := make([]byte, 4)
	for ; it.Valid(); it.Next() {
		k, v := it.Key(), it.Value()
		found := false
		for i := range prefixes {
			found = found || prefixes[i] == k[0]
		}
		if !found {
			continue
		}
		for _, b := range [][]byte{k, v} {
			binary.BigEndian.PutUint32(n, uint32(len(b)))
			h.Write(n)
			h.Write(b)
		}
		if rows != nil {
			rows[hex.EncodeToString(k)] = hex.EncodeToString(v)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func run(s scenario) scenario {
	db := dbm.NewMemDB()
	open := func() *iavl.MutableTree {
		opts := []iavl.Option{}
		if s.Initial > 0 {
			opts = append(opts, iavl.InitialVersionOption(s.Initial))
		}
		t := iavl.NewMutableTree(db, 100, !s.Fast, iavl.NewNopLogger(), opts...)
		_, err := t.Load()
		check(err)
		return t
	}
	tree := open()
	in := stream{s.Seed}
	for n := 1; n <= s.Versions; n++ {
		if s.Clear[n] {
			var all [][]byte
			_, err := tree.Iterate(func(k, v []byte) bool { all = append(all, k); return false })
			check(err)
			for _, k := range all {
				_, _, err := tree.Remove(k)
				check(err)
			}
		} else if !s.Idle[n] {
			for i := 0; i < s.Ops; i++ {
				r := in.next()
				key := make([]byte, s.KeyBytes)
				copy(key, fmt.Sprintf("%07d", in.next()%s.Keys))
				if r%10 < 7 {
					value := make([]byte, r>>8%5*6)
					for j := range value {
						value[j] = byte(r >> (j % 8 * 8))
					}
					_, err := tree.Set(key, value)
					check(err)
				} else {
					_, _, err := tree.Remove(key)
					check(err)
				}
			}
		}
		root, version, err := tree.SaveVersion()
		check(err)
		one := save{Version: version, Root: hex.EncodeToString(root)}
		if s.Full {
			one.Rows = map[string]string{}
		}
		one.Nodes = dump(db, "s", one.Rows)
		if s.Fast {
			one.Fast = dump(db, "fm", one.Rows)
		}
		if to, ok := s.Prune[n]; ok {
			check(tree.DeleteVersionsTo(to))
			one.Pruned = dump(db, "s", nil)
		}
		if to, ok := s.Rollback[n]; ok {
			check(tree.LoadVersionForOverwriting(to))
		}
		s.Saves = append(s.Saves, one)
	}
	return s
}

func treeHash(path string) {
	out, err := os.Create(path)
	check(err)
	defer out.Close()
	r := rand.New(rand.NewSource(49872768940))
	tree := iavl.NewMutableTree(dbm.NewMemDB(), 0, true, iavl.NewNopLogger())
	keys := make([][]byte, 0, 4096)
	for i := 0; i < 4; i++ {
		for j := 0; j < 4096; j++ {
			key, value := make([]byte, 16), make([]byte, 16)
			switch {
			case len(keys) > 0 && r.Float64() <= 0.2:
				at := r.Intn(len(keys))
				key = keys[at]
				keys = append(keys[:at], keys[at+1:]...)
				_, _, err := tree.Remove(key)
				check(err)
				fmt.Fprintf(out, "- %x\n", key)
			case len(keys) > 0 && r.Float64() <= 0.4:
				key = keys[r.Intn(len(keys))]
				r.Read(value)
				_, err := tree.Set(key, value)
				check(err)
				fmt.Fprintf(out, "= %x %x\n", key, value)
			default:
				r.Read(key)
				r.Read(value)
				_, err := tree.Set(key, value)
				check(err)
				fmt.Fprintf(out, "= %x %x\n", key, value)
				keys = append(keys, key)
			}
		}
		root, _, err := tree.SaveVersion()
		check(err)
		fmt.Fprintf(out, "# %x\n", root)
	}
}

func main() {
	if len(os.Args) > 1 {
		treeHash(os.Args[1])
	}
	enc := json.NewEncoder(os.Stdout)
	for _, s := range []scenario{
		{Name: "first steps", Seed: 1, Versions: 8, Ops: 4, Keys: 9, KeyBytes: 7, Full: true, Idle: map[int]bool{3: true, 6: true, 7: true}, Clear: map[int]bool{5: true}},
		{Name: "one key", Seed: 2, Versions: 6, Ops: 1, Keys: 1, KeyBytes: 7, Initial: 100, Full: true},
		{Name: "empty first", Seed: 3, Versions: 3, Ops: 3, Keys: 9, KeyBytes: 7, Initial: 7, Full: true, Idle: map[int]bool{1: true}},
		{Name: "churn", Seed: 4, Versions: 40, Ops: 30, Keys: 60, KeyBytes: 8, Prune: map[int]int64{10: 4, 20: 19, 35: 30}, Idle: map[int]bool{12: true, 13: true, 20: true, 21: true}},
		{Name: "wide", Seed: 5, Versions: 8, Ops: 2000, Keys: 8000, KeyBytes: 16, Prune: map[int]int64{7: 5}},
		{Name: "a version each", Seed: 6, Versions: 300, Ops: 1, Keys: 80, KeyBytes: 7, Prune: map[int]int64{150: 100, 300: 299}},
		{Name: "long keys", Seed: 7, Versions: 4, Ops: 40, Keys: 100, KeyBytes: 300, Initial: 1 << 33},
		{Name: "index", Seed: 8, Versions: 12, Ops: 25, Keys: 50, KeyBytes: 9, Fast: true, Idle: map[int]bool{4: true}},
		{Name: "index, first steps", Seed: 9, Versions: 3, Ops: 6, Keys: 9, KeyBytes: 7, Fast: true, Full: true},
		{Name: "rolled back", Seed: 10, Versions: 12, Ops: 25, Keys: 50, KeyBytes: 9, Rollback: map[int]int64{5: 3, 9: 6}},
		{Name: "pruned under references", Seed: 11, Versions: 9, Ops: 20, Keys: 30, KeyBytes: 7, Full: true, Idle: map[int]bool{3: true, 4: true, 6: true}, Prune: map[int]int64{4: 2, 5: 3, 7: 6}},
	} {
		check(enc.Encode(run(s)))
	}
}
