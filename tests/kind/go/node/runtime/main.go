// runtime is an OCI runtime for a root that lacks some capabilities, as in an
// unprivileged virtual machine or container. It takes out of the OCI spec what
// the kernel would refuse, then becomes runc:
//
//   - capabilities that are not in our own bounding set,
//   - an oomScoreAdj lower than our own,
//   - rlimits above our own hard limits.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// In the order of their bits.
var capabilities = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD
LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
PERFMON BPF CHECKPOINT_RESTORE`)

// In the order of their numbers.
var rlimits = strings.Fields(`CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE
NICE RTPRIO RTTIME`)

type object = map[string]any

func main() {
	if err := fix(os.Args[1:]); err != nil {
		fail(err)
	}
	runc, err := exec.LookPath("runc")
	if err != nil {
		fail(err)
	}
	fail(syscall.Exec(runc, append([]string{"runc"}, os.Args[1:]...), os.Environ()))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "runtime:", err)
	os.Exit(1)
}

// fix rewrites the file that the command is about to read, if it reads one.
func fix(arguments []string) error {
	verb, bundle, process := "", ".", ""
	for i, argument := range arguments {
		if verb == "" && (argument == "create" || argument == "run" || argument == "exec") {
			verb = argument
		}
		bundle = value(arguments[i:], bundle, "--bundle", "-b")
		process = value(arguments[i:], process, "--process", "-p")
	}
	switch {
	case verb == "create" || verb == "run":
		return rewrite(filepath.Join(bundle, "config.json"), func(spec object) {
			if process, ok := spec["process"].(object); ok {
				lower(process)
			}
		})
	case verb == "exec" && process != "":
		return rewrite(process, lower)
	}
	return nil
}

func value(rest []string, otherwise string, names ...string) string {
	for _, name := range names {
		if given, ok := strings.CutPrefix(rest[0], name+"="); ok {
			return given
		}
		if rest[0] == name && len(rest) > 1 {
			return rest[1]
		}
	}
	return otherwise
}

func rewrite(path string, change func(object)) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var spec object
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&spec); err != nil {
		return err
	}
	change(spec)
	if text, err = json.Marshal(spec); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

func lower(process object) {
	if sets, ok := process["capabilities"].(object); ok {
		held := bounding()
		for name, set := range sets {
			sets[name] = keep(set, func(one any) bool { name, _ := one.(string); return held[name] })
		}
	}
	if asked, ok := process["oomScoreAdj"].(json.Number); ok {
		if score, err := asked.Int64(); err == nil && score < ownScore() {
			process["oomScoreAdj"] = ownScore()
		}
	}
	if limits, ok := process["rlimits"]; ok {
		process["rlimits"] = keep(limits, possible)
	}
}

func keep(list any, wanted func(any) bool) []any {
	kept := []any{}
	all, _ := list.([]any)
	for _, one := range all {
		if wanted(one) {
			kept = append(kept, one)
		}
	}
	return kept
}

func bounding() map[string]bool {
	held := map[string]bool{}
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if mask, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			bits, _ := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			for bit, name := range capabilities {
				held["CAP_"+name] = bits&(1<<bit) != 0
			}
		}
	}
	return held
}

func ownScore() int64 {
	text, _ := os.ReadFile("/proc/self/oom_score_adj")
	score, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return score
}

func possible(limit any) bool {
	fields, _ := limit.(object)
	name, _ := fields["type"].(string)
	hard, _ := fields["hard"].(json.Number)
	asked, err := strconv.ParseUint(hard.String(), 10, 64)
	if err != nil {
		return false
	}
	for number, known := range rlimits {
		if own := (syscall.Rlimit{}); "RLIMIT_"+known == name && syscall.Getrlimit(number, &own) == nil {
			return asked <= own.Max
		}
	}
	return false
}
