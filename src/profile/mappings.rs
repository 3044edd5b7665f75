//! Which file's code stands where in this process.
//!
//! The kernel lists it in `/proc/self/maps`. The file behind a mapping is not always the one at its path: an upgrade puts another
//! there while the old one runs on. So a path is believed only when it still leads to the mapped inode; else the mapped file is
//! reached through `map_files` (which needs privileges) or, for the program itself, through `exe`; else it is unknown, and its
//! mapping stays without build id and symbols. Devices are not compared, since overlayfs and btrfs list another than `stat` tells.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::elf::ElfFile;

/// Most bytes of `maps` that are read: the kernel's default limit of 65,530 mappings with long paths.
const MOST_BYTES: u64 = 16 << 20;
/// Most executable mappings that are kept.
const MOST_MAPPINGS: usize = 1_024;
/// What the kernel puts behind the path of a file that is gone.
const DELETED: &[u8] = b" (deleted)";

/// The executable mappings of this process that have a file, those of the program itself first, then by address.
#[derive(Debug, Default)]
pub(super) struct Mappings {
    pub(super) mappings: Vec<MappedRange>,
    /// The files behind the mappings, each once.
    pub(super) files: Vec<MappedFile>,
}

/// One executable mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MappedRange {
    pub(super) start: u64,
    pub(super) limit: u64,
    /// Offset in the file of what stands at `start`.
    pub(super) offset: u64,
    /// Index into the files.
    pub(super) file: usize,
}

/// A file of which at least one part is mapped as code.
#[derive(Debug)]
pub(super) struct MappedFile {
    /// Path as the kernel lists it, without its remark that the file was deleted.
    pub(super) path: String,
    /// The path that leads to the mapped file itself, if there is one.
    pub(super) readable: Option<PathBuf>,
    /// Empty when the file cannot be read.
    pub(super) elf: ElfFile,
}

impl Mappings {
    /// Reads the mappings of this process from the procfs at `proc`. What cannot be read is absent.
    pub(super) fn read(proc: &Path) -> Self {
        let process = proc.join("self");
        let mut text = Vec::new();
        let read = File::open(process.join("maps"))
            .and_then(|maps| maps.take(MOST_BYTES).read_to_end(&mut text));
        if read.is_err() {
            return Self::default();
        }
        let program = std::fs::read_link(process.join("exe")).unwrap_or_default();
        let is_program = |line: &Line<'_>| line.path == program.as_os_str().as_bytes();
        let mut lines: Vec<_> = text
            .split(|byte| *byte == b'\n')
            .filter_map(Line::parse)
            .filter(Line::is_code_of_a_file)
            .take(MOST_MAPPINGS)
            .collect();
        lines.sort_by_key(|line| (!is_program(line), line.start));

        let mut found = Self::default();
        let mut known = HashMap::new();
        for line in lines {
            let file = *known.entry(line.identity()).or_insert_with(|| {
                found
                    .files
                    .push(MappedFile::find(&process, &line, is_program(&line)));
                found.files.len() - 1
            });
            found.mappings.push(MappedRange {
                start: line.start,
                limit: line.limit,
                offset: line.offset,
                file,
            });
        }
        found
    }

    /// Index of the mapping in which an address lies.
    pub(super) fn position(&self, address: u64) -> Option<usize> {
        self.mappings
            .iter()
            .position(|range| (range.start..range.limit).contains(&address))
    }

    /// Virtual address in the file of an address in the mapping at `position`.
    pub(super) fn file_address(&self, position: usize, address: u64) -> Option<u64> {
        let range = self.mappings.get(position)?;
        let offset = address
            .checked_sub(range.start)?
            .checked_add(range.offset)?;
        self.files.get(range.file)?.elf.address(offset)
    }
}

impl MappedFile {
    fn find(process: &Path, line: &Line<'_>, is_program: bool) -> Self {
        let path = Path::new(OsStr::from_bytes(line.path));
        let as_listed = || {
            let found = path.metadata().ok()?;
            (found.ino() == line.inode).then(|| path.to_path_buf())
        };
        let as_mapped = || {
            let range = format!("{:x}-{:x}", line.start, line.limit);
            let link = process.join("map_files").join(range);
            File::open(&link).is_ok().then_some(link)
        };
        let as_started = || is_program.then(|| process.join("exe"));
        let readable = (line.inode != 0)
            .then(|| as_listed().or_else(as_mapped).or_else(as_started))
            .flatten();
        let shown = line.path.strip_suffix(DELETED).unwrap_or(line.path);
        Self {
            path: String::from_utf8_lossy(shown).into_owned(),
            elf: readable
                .as_deref()
                .and_then(ElfFile::read)
                .unwrap_or_default(),
            readable,
        }
    }
}

/// One line of `maps`, such as `7f1c2000-7f1c4000 r-xp 00002000 08:01 1234    /usr/lib/libfoo.so`.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    start: u64,
    limit: u64,
    permissions: &'a [u8],
    offset: u64,
    device: &'a [u8],
    inode: u64,
    path: &'a [u8],
}

impl<'a> Line<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.splitn(6, |byte| *byte == b' ');
        let mut field = || fields.next();
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let (start, limit) = text(field()?)?.split_once('-')?;
        let permissions = field()?;
        let offset = text(field()?)?;
        let device = field()?;
        let inode = text(field()?)?;
        let path = field().unwrap_or_default().trim_ascii_start();
        let line = Self {
            start: u64::from_str_radix(start, 16).ok()?,
            limit: u64::from_str_radix(limit, 16).ok()?,
            permissions,
            offset: u64::from_str_radix(offset, 16).ok()?,
            device,
            inode: inode.parse().ok()?,
            path,
        };
        (line.start < line.limit).then_some(line)
    }

    /// Anonymous code, such as that of a just-in-time compiler, has no file; of the kernel's own, the vDSO is kept.
    fn is_code_of_a_file(&self) -> bool {
        self.permissions.get(2) == Some(&b'x')
            && (self.path.starts_with(b"/") || self.path == b"[vdso]")
    }

    /// Two files may have the same path one after the other, or the same number on two devices.
    fn identity(&self) -> (&'a [u8], u64, &'a [u8]) {
        (self.device, self.inode, self.path)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// A procfs in which this very program is said to be mapped.
    struct Proc {
        root: TempDir,
        maps: String,
    }

    impl Proc {
        fn new(program: &Path) -> Self {
            let root = TempDir::new().unwrap();
            fs::create_dir_all(root.path().join("self/map_files")).unwrap();
            symlink(program, root.path().join("self/exe")).unwrap();
            Self {
                root,
                maps: String::new(),
            }
        }

        fn map(&mut self, start: u64, offset: u64, inode: u64, path: &str) {
            let limit = start + 0x1_0000;
            writeln!(
                self.maps,
                "{start:x}-{limit:x} r-xp {offset:08x} 08:01 {inode} {path}"
            )
            .unwrap();
        }

        fn read(&self) -> Mappings {
            fs::write(self.root.path().join("self/maps"), &self.maps).unwrap();
            Mappings::read(self.root.path())
        }
    }

    fn inode(path: &Path) -> u64 {
        path.metadata().unwrap().ino()
    }

    fn this_program() -> PathBuf {
        std::env::current_exe().unwrap()
    }

    fn copy_of_this_program(name: &str) -> (TempDir, PathBuf) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(name);
        fs::copy(this_program(), &path).unwrap();
        (folder, path)
    }

    #[test]
    fn lines() {
        let line = Line::parse(
            b"7f60ae94a000-7f60aeaa0000 r-xp 00026000 fe:10 1234                   /usr/lib/a b.so",
        )
        .unwrap();
        assert_eq!(
            (line.start, line.limit, line.offset),
            (0x7f60_ae94_a000, 0x7f60_aeaa_0000, 0x2_6000)
        );
        assert_eq!((line.inode, line.path), (1_234, &b"/usr/lib/a b.so"[..]));
        assert!(line.is_code_of_a_file());
        for (text, code) in [
            (&b"1000-2000 r--p 0 08:01 7 /bin/a"[..], false),
            (b"1000-2000 r-xp 0 00:00 0", false),
            (b"1000-2000 r-xp 0 00:00 0 [heap]", false),
            (b"1000-2000 --xp 0 00:00 0 [vsyscall]", false),
            (b"1000-2000 r-xp 0 00:00 0 [vdso]", true),
            (b"1000-2000 rwxp 0 08:01 7 /bin/\xff", true),
        ] {
            assert_eq!(Line::parse(text).unwrap().is_code_of_a_file(), code);
        }
        for malformed in [
            &b""[..],
            b"x",
            b"1000 r-xp 0 08:01 7 /bin/a",
            b"1000-zzzz r-xp 0 08:01 7 /bin/a",
            b"2000-1000 r-xp 0 08:01 7 /bin/a",
            b"1000-2000 r-xp 0 08:01 -7 /bin/a",
            b"1000-2000 r-xp 0",
            b"1000-10000000000000000 r-xp 0 08:01 7 /bin/a",
            b"\xff-\xff r-xp 0 08:01 7 /bin/a",
        ] {
            assert_eq!(Line::parse(malformed), None);
        }
    }

    #[test]
    fn own_process() {
        let mappings = Mappings::read(Path::new("/proc"));
        let here = own_process as fn() as usize as u64;
        let at = mappings.position(here).unwrap();
        let file = &mappings.files[mappings.mappings[at].file];
        assert_eq!(at, 0);
        assert_eq!(Path::new(&file.path), this_program());
        assert_eq!(
            file.elf.build_id,
            ElfFile::read(&this_program()).unwrap().build_id
        );
        assert!(mappings.file_address(at, here).unwrap() < 1 << 32);
        let on_stack = &raw const mappings as u64;
        assert_eq!(mappings.position(on_stack), None);
        let paths: Vec<_> = mappings
            .files
            .iter()
            .map(|file| file.path.as_str())
            .collect();
        assert!(
            paths.contains(&"[vdso]") && paths.iter().any(|path| path.contains("libc")),
            "{paths:?}"
        );
    }

    #[test]
    fn the_program_comes_first() {
        let program = this_program();
        let mut proc = Proc::new(&program);
        proc.map(0x10_0000, 0, 1, "/nowhere/lib.so");
        proc.map(0x30_0000, 0, inode(&program), program.to_str().unwrap());
        proc.map(0x20_0000, 0, inode(&program), program.to_str().unwrap());
        let starts: Vec<_> = proc
            .read()
            .mappings
            .iter()
            .map(|range| range.start)
            .collect();
        assert_eq!(starts, [0x20_0000, 0x30_0000, 0x10_0000]);
    }

    #[test]
    fn libraries_with_equal_offsets_stay_apart() {
        let (_first_folder, first) = copy_of_this_program("first.so");
        let (_second_folder, second) = copy_of_this_program("second.so");
        let mut proc = Proc::new(&this_program());
        proc.map(0x10_0000, 0x1000, inode(&first), first.to_str().unwrap());
        proc.map(0x20_0000, 0x1000, inode(&second), second.to_str().unwrap());
        proc.map(0x30_0000, 0x1_1000, inode(&first), first.to_str().unwrap());
        let mappings = proc.read();
        let files: Vec<_> = mappings.mappings.iter().map(|range| range.file).collect();
        assert_eq!(files, [0, 1, 0], "a file is read once, and two are two");
    }

    #[test]
    fn a_replaced_file_is_not_believed() {
        let (_folder, path) = copy_of_this_program("lib.so");
        let mut proc = Proc::new(&this_program());
        proc.map(0x10_0000, 0, inode(&path) + 1, path.to_str().unwrap());
        let mappings = proc.read();
        assert_eq!(mappings.mappings.len(), 1);
        assert_eq!(mappings.files[0].readable, None);
        assert_eq!(mappings.files[0].elf, ElfFile::default());

        // With the privileges for it, the kernel still leads to the old one.
        let link = proc
            .root
            .path()
            .join(format!("self/map_files/{:x}-{:x}", 0x10_0000, 0x11_0000));
        symlink(this_program(), &link).unwrap();
        let mappings = proc.read();
        assert_eq!(mappings.files[0].readable, Some(link));
        assert!(mappings.files[0].elf.has_debug_info);
    }

    #[test]
    fn a_deleted_program_is_reached_through_its_link() {
        let mut proc = Proc::new(Path::new("/gone/shop (deleted)"));
        proc.map(0x10_0000, 0, 7, "/gone/shop (deleted)");
        proc.map(0x20_0000, 0, 8, "/gone/lib.so (deleted)");
        let mappings = proc.read();
        let [program, library] = mappings.files.as_slice() else {
            panic!("{mappings:?}");
        };
        assert_eq!(program.path, "/gone/shop");
        assert_eq!(program.readable, Some(proc.root.path().join("self/exe")));
        assert_eq!(
            (library.path.as_str(), &library.readable),
            ("/gone/lib.so", &None)
        );
    }

    #[test]
    fn what_cannot_be_read_is_absent() {
        assert!(Mappings::read(Path::new("/nowhere")).mappings.is_empty());
        let mut proc = Proc::new(&this_program());
        proc.map(0x10_0000, 0, 1, "/nowhere/lib.so");
        proc.maps
            .push_str("nonsense\n\n5000-6000 r-xp 0 00:00 0 [vdso]\n7000-8000 r-xp 0 00:00 0 \n");
        let mappings = proc.read();
        let paths: Vec<_> = mappings
            .files
            .iter()
            .map(|file| file.path.as_str())
            .collect();
        assert_eq!(paths, ["[vdso]", "/nowhere/lib.so"]);
        assert_eq!(mappings.position(0x4fff), None);
        assert_eq!(mappings.position(0x5000), Some(0));
        assert_eq!(mappings.position(0x6000), None);
        assert_eq!(mappings.file_address(0, 0x5000), None);
    }
}
