# Developers' commands. The two that matter: `make demo` and `make test`.
#
#   make build     bin/keepward for this machine
#   make cross     every other target the binary must build for
#   make lint      format, vet (for Linux, Windows and macOS), staticcheck, layers
#   make unit      unit tests
#   make e2e       end to end: real processes, killed and restarted
#   make test      what they need is installed, then unit and e2e
#   make race      unit tests under the race detector
#   make fuzz      every fuzz target for FUZZTIME each
#   make crash     every kind of crash at every call of the crash histories, and every fault
#   make soak      random histories with crashes for SOAKTIME, from SEED or a random one
#   make sim       invented sites with crashes and preemptions: SEEDS of them, from SEED
#   make demo      a backup site on this machine, from enrolment to bit for bit restore
#   make bench     side by side with the peers in PATH; writes docs/performance.md; flags in BENCH
#   make generate  code from api/**/*.proto (needs protoc), and from the console's *.templ

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

export GOTOOLCHAIN := local
export GOFLAGS := -mod=readonly

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version={keepward:$(VERSION)}
# Empty in CI, where sharing compiled packages with vet and the tests saves minutes.
TRIMPATH ?= -trimpath
GO_FILES = git ls-files '*.go' ':!:*.pb.go' ':!:*.connect.go' ':!:*_templ.go'
FUZZTIME ?= 10s
SOAKTIME ?= 10m
SEED ?= 0
SEEDS ?= 10000
BENCH ?=

# The agent runs on all of these; the whole binary builds for each.
CROSS := linux/arm64 windows/amd64 darwin/arm64 freebsd/amd64

.PHONY: build cross lint unit race e2e test fuzz crash soak sim demo bench generate tools deps clean

build:
	CGO_ENABLED=0 go build $(TRIMPATH) -ldflags '$(LDFLAGS)' -o bin/keepward ./cmd/keepward

cross:
	@for t in $(CROSS); do \
	  suffix=; [[ $$t != windows/* ]] || suffix=.exe; \
	  echo "build $$t"; \
	  CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} go build $(TRIMPATH) -ldflags '$(LDFLAGS)' -o dist/keepward-$${t/\//-}$$suffix ./cmd/keepward; \
	done

tools: .bin/stamp

.bin/stamp: tools/go.mod tools/go.sum
	go -C tools build -o ../.bin/ tool
	@touch $@

# vet type-checks every file of a target, so it finds what only breaks there. What freebsd has is built
# by cross, and its tests are those of darwin.
lint: .bin/stamp
	@bad=$$($(GO_FILES) | xargs .bin/gofumpt -l); [[ -z $$bad ]] || { echo "not gofumpt'ed:"; echo "$$bad"; exit 1; }
	go vet ./...
	@for t in $(filter-out linux/% freebsd/%,$(CROSS)); do \
	  echo "vet $$t"; CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} go vet ./cmd/... ./internal/...; \
	done
	.bin/staticcheck ./...
	go test ./internal/deptest

unit:
	go test ./api/... ./cmd/... ./internal/...

# All unit tests, with the race detector except where they compute ten times as long under it
# and have next to no goroutines; of those, what has some is run again.
NORACE := ./internal/catalog ./internal/changes ./internal/cli ./internal/manager ./internal/pipeline ./internal/repo/chunk ./internal/repo/crashtest ./internal/repo/fileindex ./internal/repo/segment ./internal/schedule ./internal/server ./internal/sim

race:
	go test $(filter-out ./internal/repo/crashtest,$(NORACE))
	cd internal/repo/crashtest && go test -count=1
	CGO_ENABLED=1 go test -race -run 'SameSeed' ./internal/repo/crashtest
	CGO_ENABLED=1 go test -race -run 'Diff|Lookup|Children' ./internal/repo/fileindex
	CGO_ENABLED=1 go test -race -run 'Writer|Group|Statement' ./internal/catalog
	CGO_ENABLED=1 go test -race -run 'JournalSays|JournalEnds|Overflows|Forgets|HandedOver|OpenFiles' ./internal/changes
	CGO_ENABLED=1 go test -race -run 'Session|Watch|Extract' ./internal/cli
	CGO_ENABLED=1 go test -race -run 'OneKills|TwoPeople|Link|OfAGroup|Throttle|Login' ./internal/server
	CGO_ENABLED=1 go test -race -run 'ManySessions|SessionsThatWait|WaitHaveNo|OutliveTheServer|Restart|HangsUp|HangUp|TwoAt|AtOnce|Letter|Line|Rival|Browsing|Heartbeat|Laptop|RulesOfAGroup|ByItself' ./internal/manager
	CGO_ENABLED=1 go test -race -run 'Stream|Parts|Checkpoint|StoreFailure|ExtraReaders|FilesThatDoNot' ./internal/pipeline
	cd internal/sim && CGO_ENABLED=1 go test -race -run '^TestSites$$' -seeds 5
	CGO_ENABLED=1 go test -race $(filter-out $(NORACE:./%=keepward/%),$(shell go list ./api/... ./cmd/... ./internal/...))

# Run from within test/, where go test shows what the tests print: the skips and their number.
e2e: build
	go test ./test/site ./test/bench ./test/demo
	cd test && KEEPWARD_BIN=$(CURDIR)/bin/keepward go test -count=1 -parallel 3 -timeout 35m

# The end to end run is the last, so that its lines close the output.
test: deps
	$(MAKE) --no-print-directory race
	$(MAKE) --no-print-directory e2e

deps:
	@tools/deps.sh

# One line a target: package and name.
fuzz:
	@grep -rl --include='*_test.go' '^func Fuzz' api cmd internal | while read -r f; do \
	  for name in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$$f"); do \
	    echo "fuzz $$(dirname "$$f") $$name"; \
	    go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "./$$(dirname "$$f")"; \
	  done; \
	done

# Run from within the package, where go test shows what it prints: the counts and the seeds.
crash:
	cd internal/repo/crashtest && go test -count=1 -full -timeout 2h

soak:
	cd internal/repo/crashtest && go test -count=1 -run '^TestSoak$$' -soak $(SOAKTIME) -seed $(SEED) -timeout 0

sim:
	cd internal/sim && go test -count=1 -run '^TestSites$$' -seeds $(SEEDS) -seed $(SEED) -timeout 0

demo: build
	go run ./test/demo -keepward bin/keepward

bench: build
	go build -o bin/bench ./test/bench
	bin/bench -keepward bin/keepward -out docs/performance.md $(BENCH)

generate: .bin/stamp
	PATH="$(CURDIR)/.bin:$$PATH" protoc -I api --go_out=api --go_opt=paths=source_relative \
	  --connect-go_out=api --connect-go_opt=paths=source_relative api/keepward/v1/*.proto
	.bin/templ generate -path internal/console

clean:
	rm -rf bin dist .bin
