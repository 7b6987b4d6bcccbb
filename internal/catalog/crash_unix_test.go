//go:build unix

package catalog

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const crashEnv = "KEEPWARD_TEST_CATALOG"

// TestMain lets the test binary be the process that is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		writeForEver(path)
	}
	goleak.VerifyTestMain(m)
}

// writeForEver counts up in two settings and one join token a transaction, and says each
// number that was committed.
func writeForEver(path string) {
	ctx := context.Background()
	db, err := Open(ctx, path)
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	first, err := counter(ctx, db, "a")
	if err != nil {
		fmt.Println("read:", err)
		os.Exit(1)
	}
	for n := first + 1; ; n++ {
		err := db.Write(ctx, func(tx *sql.Tx) error {
			text := strconv.Itoa(n)
			if err := SetSetting(ctx, tx, "a", []byte(text)); err != nil {
				return err
			}
			if err := AddJoinToken(ctx, tx, text, JoinToken{ID: text}); err != nil {
				return err
			}
			return SetSetting(ctx, tx, "b", []byte(text))
		})
		if err != nil {
			fmt.Println("write:", err)
			os.Exit(1)
		}
		fmt.Println(n)
	}
}

func counter(ctx context.Context, db *DB, key string) (int, error) {
	v, err := Setting(ctx, db.Read(), key)
	if err != nil || v == nil {
		return 0, err
	}
	return strconv.Atoi(string(v))
}

func TestKilledWriterLosesNothingItAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	for range 5 {
		acknowledged := killWriter(t, path)
		db, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		a, errA := counter(t.Context(), db, "a")
		b, errB := counter(t.Context(), db, "b")
		tokens, errT := JoinTokens(t.Context(), db.Read())
		var check string
		errC := db.read.QueryRow(`PRAGMA integrity_check`).Scan(&check)
		if errA != nil || errB != nil || errT != nil || errC != nil || check != "ok" {
			t.Fatal(errA, errB, errT, errC, check)
		}
		if a != b || len(tokens) != a {
			t.Errorf("a transaction was torn: %d, %d, %d tokens", a, b, len(tokens))
		}
		if a < acknowledged {
			t.Errorf("%d was committed, %d is there", acknowledged, a)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killWriter kills a writing process at a moment of its own, and answers what it last said.
func killWriter(t *testing.T, path string) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashEnv+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last := 0
	lines := bufio.NewScanner(out)
	if lines.Scan() { // it writes: the clock runs from here
		last, err = strconv.Atoi(lines.Text())
		time.AfterFunc(time.Duration(1+rand.IntN(40))*time.Millisecond, func() { _ = cmd.Process.Kill() })
	}
	for err == nil && lines.Scan() {
		last, err = strconv.Atoi(strings.TrimSpace(lines.Text()))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("the writer was not killed: %v", cmd.ProcessState)
	}
	return last
}
