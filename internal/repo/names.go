package repo

import (
	"fmt"
	"strconv"
	"strings"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// Names of objects and folders. They are format.
const (
	configName    = "keepward.conf"
	epochsDir     = "epochs"
	keysDir       = "keys"
	ownerDir      = "owner"
	packsDir      = "packs"
	indexDir      = "index"
	pointsDir     = "points"
	checkpointDir = "checkpoints"
	attemptsDir   = "attempts"
	condemnedDir  = "condemned"
	sparedDir     = "spared"
	sweptDir      = "swept"
	deletedDir    = "deleted"
	heldDir       = "held"
	tmpDir        = "tmp"
)

type place struct {
	attempt point.Attempt
	class   pack.Class
	number  uint32
	offset  uint32
}

func classOf(k seal.Kind) pack.Class { return pack.ClassOf(k) }

// attemptDir is where an attempt's packs lie.
func attemptDir(a point.Attempt) string {
	s := a.String()
	return packsDir + "/" + s[:2] + "/" + s
}

func packName(a point.Attempt, c pack.Class, number uint32) string {
	return fmt.Sprintf("%s/%c%08d", attemptDir(a), c.Letter(), number)
}

func segmentName(a point.Attempt, number uint32) string {
	s := a.String()
	return fmt.Sprintf("%s/%s/%s-%08d", indexDir, s[:2], s, number)
}

func attemptName(a point.Attempt) string { return attemptsDir + "/" + a.String() }

func folderOf(name string) string { return name[:strings.LastIndexByte(name, '/')] }

func pointName(a point.Attempt) string { return pointsDir + "/" + a.String() }

func checkpointName(a point.Attempt, number uint32) string {
	return fmt.Sprintf("%s/%s-%08d", checkpointDir, a, number)
}

func badName(name string) error {
	return errs.New(errs.Corrupt, "repository.name", "read name %q: it is no name of an object of a repository", name)
}

// parsePackName reads packs/ab/<attempt>/d00000001.
func parsePackName(name string) (a point.Attempt, c pack.Class, number uint32, err error) {
	parts := strings.Split(name, "/")
	if len(parts) != 4 || len(parts[3]) != 9 {
		return a, 0, 0, badName(name)
	}
	if a, err = point.ParseAttempt(parts[2]); err != nil {
		return a, 0, 0, badName(name)
	}
	n, err := strconv.ParseUint(parts[3][1:], 10, 32)
	c = pack.Data
	if parts[3][0] == pack.Meta.Letter() {
		c = pack.Meta
	}
	if err != nil || name != packName(a, c, uint32(n)) {
		return a, 0, 0, badName(name)
	}
	return a, c, uint32(n), nil
}

// parseNumbered reads <attempt>-<number>, the last part of the names of segments and
// checkpoints.
func parseNumbered(name string) (a point.Attempt, number uint32, err error) {
	base := name[strings.LastIndexByte(name, '/')+1:]
	attempt, digits, ok := strings.Cut(base, "-")
	if !ok || len(digits) != 8 {
		return a, 0, badName(name)
	}
	if a, err = point.ParseAttempt(attempt); err != nil {
		return a, 0, badName(name)
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return a, 0, badName(name)
	}
	return a, uint32(n), nil
}
