package pgserver

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// keeperScript: the end of its input is the end of who started it, by whatever cause:
// a panic, a time-out of the tests or SIGKILL. It then ends the server by its ID,
// if that is still the process that works in the folder, and removes the folder.
const keeperScript = `
cat >/dev/null
folder=$1
pid=$(head -n 1 "$folder/data/postmaster.pid" 2>/dev/null)
runs() { [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null && [ "$(readlink "/proc/$pid/cwd")" = "$folder/data" ]; }
if runs; then
  kill -QUIT "$pid"
  kill -CONT "$pid"
  tries=0
  while runs && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
  if runs; then kill -KILL "$pid"; fi
fi
tries=0
until rm -rf "$folder" 2>/dev/null || [ "$tries" -ge 100 ]; do sleep 0.1; tries=$((tries + 1)); done
`

// A keeper is a process that removes a server which we cannot remove any more.
type keeper struct {
	folder string
	cmd    *exec.Cmd
	input  io.Closer
}

func keep(folder string) (*keeper, error) {
	// No context: it must outlive everything.
	cmd := exec.CommandContext(context.Background(), "sh", "-c", keeperScript, "sh", folder)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, input.Close())
	}
	return &keeper{folder: folder, cmd: cmd, input: input}, nil
}

// remove lets the keeper do its work now.
func (k *keeper) remove() error {
	return errors.Join(os.RemoveAll(k.folder), k.input.Close(), k.cmd.Wait())
}
