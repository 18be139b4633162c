package output

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestWriteReplacesAddsAndDeletesWhatIsNoLongerMade(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "alerts.yaml", "old")
	put(t, dir, "gone/deeper/left.json", "{}")
	put(t, dir, "gone.md", "")
	put(t, dir, "notes.txt", "mine")
	put(t, dir, "kept/notes.txt", "mine, too")
	put(t, dir, "kept/old.yaml", "")
	put(t, dir, "same.yaml", "same")
	before, err := os.Stat(filepath.Join(dir, "same.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		"alerts.yaml": []byte("new"), "dashboards/a.json": []byte("{}\n"), "same.yaml": []byte("same"),
	}
	if err := Write(dir, files); err != nil {
		t.Fatal(err)
	}
	got, err := list(dir)
	if err != nil {
		t.Fatal(err)
	}
	// What no rendering makes is not deleted by one, whatever it is.
	if want := []string{"alerts.yaml", "dashboards/a.json", "kept/notes.txt", "notes.txt", "same.yaml"}; !reflect.DeepEqual(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "gone")); !os.IsNotExist(err) {
		t.Errorf("the emptied directory is still there: %v", err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != string(want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "alerts.yaml")); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("alerts.yaml: mode %v, %v", info.Mode(), err)
	}
	if after, err := os.Stat(filepath.Join(dir, "same.yaml")); err != nil || !os.SameFile(before, after) {
		t.Errorf("a file that was right was written again: %v", err)
	}
}

func TestWriteStaysInItsDirectory(t *testing.T) {
	parent := t.TempDir()
	put(t, parent, "neighbour.yaml", "mine")
	dir := filepath.Join(parent, "generated")
	for _, name := range []string{"../neighbour.yaml", "/neighbour.yaml", "a/../../neighbour.yaml", "", "a//b.yaml"} {
		if err := Write(dir, map[string][]byte{name: []byte("theirs")}); err == nil {
			t.Errorf("wrote %q", name)
		}
	}
	if err := Write(dir, map[string][]byte{"a.yaml": nil}); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(filepath.Join(parent, "neighbour.yaml")); err != nil || string(got) != "mine" {
		t.Errorf("the neighbour is now %q, %v", got, err)
	}
}

func TestFailedWriteLeavesTheOldFileAndNoOther(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a.yaml/file.txt", "in the way")
	if err := Write(dir, map[string][]byte{"a.yaml": []byte("x")}); err == nil {
		t.Error("a directory was replaced by a file")
	}
	if got, err := list(dir); err != nil || !reflect.DeepEqual(got, []string{"a.yaml/file.txt"}) {
		t.Errorf("files %q, %v", got, err)
	}
}

func TestCompareFindsEachKindOfDifference(t *testing.T) {
	files := map[string][]byte{"a.yaml": []byte("a"), "b/c.json": []byte("{}"), "d.md": []byte("d")}
	dir := filepath.Join(t.TempDir(), "generated")
	expect := func(step string, want ...Difference) {
		t.Helper()
		got, err := Compare(dir, files)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v; want %v", step, got, err, want)
		}
	}
	expect("nothing there", Difference{"a.yaml", Missing}, Difference{"b/c.json", Missing}, Difference{"d.md", Missing})
	if err := Write(dir, files); err != nil {
		t.Fatal(err)
	}
	expect("just written")
	put(t, dir, "a.yaml", "a ")
	expect("a byte more", Difference{"a.yaml", Changed})
	if err := os.Remove(filepath.Join(dir, "d.md")); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "b/e.json", "{}")
	put(t, dir, "b/.hidden", "")
	expect("all kinds", Difference{"a.yaml", Changed}, Difference{"b/.hidden", Stray}, Difference{"b/e.json", Stray}, Difference{"d.md", Missing})
}

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
