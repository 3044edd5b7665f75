//! The program and its libraries: where their code and their unwind tables are.
//!
//! The list is made anew when the loader says that something was loaded or unloaded, and replaced as a whole; a reader may still hold the
//! old one, so old lists stay. Tables of what is loaded when the first list is made are read in place: such objects are never unloaded. Those of
//! later ones are copied, because `dlclose` may unmap them at any time; copies are bounded by [`MOST_COPIED`].

use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering};

use gimli::{BaseAddresses, EhFrame, EhFrameHdr, EndianSlice, LittleEndian, ParsedEhFrameHdr};

pub(super) type Bytes = EndianSlice<'static, LittleEndian>;

/// Most bytes of copied unwind tables; objects loaded beyond it are not unwound through.
const MOST_COPIED: usize = 8 << 20;

/// An object in memory.
pub(super) struct Module {
    start: usize,
    end: usize,
    /// Where the tables are in memory, so that it can be told whether an older list had them.
    tables: (usize, usize),
    pub(super) eh_frame: EhFrame<Bytes>,
    pub(super) header: ParsedEhFrameHdr<Bytes>,
    pub(super) bases: BaseAddresses,
}

/// All objects of one moment, by address.
pub(super) struct Modules {
    modules: Vec<Module>,
    /// What the loader had loaded and unloaded in all.
    generation: (u64, u64),
    copied: usize,
}

static MODULES: AtomicPtr<Modules> = AtomicPtr::new(ptr::null_mut());
static REFRESHING: Mutex<()> = Mutex::new(());

impl Modules {
    pub(super) fn find(&self, address: usize) -> Option<&Module> {
        let after = self
            .modules
            .partition_point(|module| module.start <= address);
        let module = self.modules.get(after.checked_sub(1)?)?;
        (address < module.end).then_some(module)
    }
}

/// The newest list.
#[inline]
pub(super) fn current() -> Option<&'static Modules> {
    // SAFETY: null, or a list that `refresh` made and never frees.
    unsafe { MODULES.load(Ordering::Acquire).as_ref() }
}

/// Makes a new list if something was loaded or unloaded since the last. Allocates and takes the loader's lock, so it is called from
/// ordinary code only.
pub(in crate::heap) fn refresh() {
    // Who comes meanwhile need not wait; nor would a child of `fork`, in which whoever held the lock does not exist.
    let Ok(_one_at_a_time) = REFRESHING.try_lock() else {
        return;
    };
    let old = current();
    if old.is_some_and(|old| old.generation == generation()) {
        return;
    }
    let mut found = Found::default();
    // SAFETY: the callback has the right shape, and `found` outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(note), (&raw mut found).cast()) };
    let mut copied = old.map_or(0, |old| old.copied);
    let mut modules: Vec<Module> = found
        .objects
        .iter()
        .filter_map(|object| object.module(old, &mut copied))
        .collect();
    modules.sort_unstable_by_key(|module| module.start);
    let new = Modules {
        modules,
        generation: found.generation,
        copied,
    };
    // Never freed: a thread may be reading the old list right now.
    MODULES.store(Box::leak(Box::new(new)), Ordering::Release);
    super::rules::forget();
}

/// What the loader had loaded and unloaded in all until now.
fn generation() -> (u64, u64) {
    unsafe extern "C" fn note(
        info: *mut libc::dl_phdr_info,
        _size: libc::size_t,
        generation: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the loader hands over a valid description, and `generation` below two numbers that nobody else uses meanwhile.
        unsafe { *generation.cast::<(u64, u64)>() = ((*info).dlpi_adds, (*info).dlpi_subs) };
        1 // one object is enough
    }
    let mut generation = (0, 0);
    // SAFETY: the callback has the right shape, and `generation` outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(note), (&raw mut generation).cast()) };
    generation
}

#[derive(Default)]
struct Found {
    objects: Vec<Object>,
    generation: (u64, u64),
}

/// What the loader says of an object.
struct Object {
    start: usize,
    end: usize,
    header: (usize, usize),
    /// Readable segments.
    segments: Vec<(usize, usize)>,
}

unsafe extern "C" fn note(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    found: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the loader hands over a valid description, and `refresh` a `Found` that nobody else uses meanwhile.
    let (info, found) = unsafe { (&*info, &mut *found.cast::<Found>()) };
    found.generation = (info.dlpi_adds, info.dlpi_subs);
    if info.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: the description says so.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    #[allow(
        clippy::cast_possible_truncation,
        reason = "this file is for machines of 64 bits"
    )]
    let range = |header: &libc::Elf64_Phdr| {
        let start = (info.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
        (start, start.wrapping_add(header.p_memsz as usize))
    };
    let segments = headers
        .iter()
        .filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_R != 0);
    let code = headers
        .iter()
        .filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0);
    let tables = headers
        .iter()
        .find(|header| header.p_type == libc::PT_GNU_EH_FRAME);
    let (start, end) = code.map(range).fold((usize::MAX, 0), |(start, end), code| {
        (start.min(code.0), end.max(code.1))
    });
    if let Some(tables) = tables
        && start < end
    {
        found.objects.push(Object {
            start,
            end,
            header: range(tables),
            segments: segments.map(range).collect(),
        });
    }
    0
}

impl Object {
    fn module(&self, old: Option<&Modules>, copied: &mut usize) -> Option<Module> {
        let known = old.and_then(|old| {
            let module = old.find(self.start)?;
            (module.start == self.start && module.end == self.end && module.tables == self.header)
                .then_some(module)
        });
        if let Some(known) = known {
            return Some(known.again());
        }
        let may_be_unloaded = old.is_some();
        let take = |(start, end): (usize, usize), copied: &mut usize| {
            // SAFETY: the range lies in a readable segment of an object that the loader has just described.
            let bytes = unsafe { std::slice::from_raw_parts(start as *const u8, end - start) };
            if !may_be_unloaded {
                return Some(bytes);
            }
            *copied = copied.checked_add(bytes.len())?;
            (*copied <= MOST_COPIED).then(|| &*Box::leak(bytes.to_vec().into_boxed_slice()))
        };
        let bases = BaseAddresses::default().set_eh_frame_hdr(self.header.0 as u64);
        let header = take(self.within_segment(self.header)?, copied)?;
        let header = EhFrameHdr::new(header, LittleEndian)
            .parse(&bases, 8)
            .ok()?;
        header.table()?;
        let gimli::Pointer::Direct(frames) = header.eh_frame_ptr() else {
            return None;
        };
        let frames = usize::try_from(frames).ok()?;
        let segment = self
            .segments
            .iter()
            .find(|(start, end)| (*start..*end).contains(&frames))?;
        let eh_frame = EhFrame::new(take((frames, segment.1), copied)?, LittleEndian);
        Some(Module {
            start: self.start,
            end: self.end,
            tables: self.header,
            eh_frame,
            header,
            bases: bases.set_eh_frame(frames as u64),
        })
    }

    /// The range, if all of it lies in one readable segment.
    fn within_segment(&self, range: (usize, usize)) -> Option<(usize, usize)> {
        let holds = |segment: &&(usize, usize)| segment.0 <= range.0 && range.1 <= segment.1;
        self.segments.iter().find(holds).map(|_| range)
    }
}

impl Module {
    fn again(&self) -> Self {
        Self {
            start: self.start,
            end: self.end,
            tables: self.tables,
            eh_frame: self.eh_frame,
            header: self.header.clone(),
            bases: self.bases.clone(),
        }
    }
}
