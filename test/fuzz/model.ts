/**
 * What the library is meant to do, as plainly as possible: the specification with which
 * `run.ts` compares it.
 *
 * A file is an array of bytes, and a map is a list of ranges over it. Searches begin at the
 * start of a list, and everything is copied whole. A method has the name and the
 * arguments of the method that it models. Nothing here comes from the library, and no
 * file is touched.
 *
 * With several maps of one file, the model does what Linux does and what POSIX says of
 * shared mappings. Maps in `r+` and `w+` share the file's memory. In `r` and `c`, a page is
 * the file's until the map first writes to it, and the map's own from then on. A map keeps
 * the file that it was opened on. It sees what other names and other maps do to that
 * file, but not what happens to a file that took its place.
 *
 * An atomic map has pages of its own, as in `c`, and a flush writes them into the file.
 *
 * If the file is cut short, it loses pages. A map's first access to a lost page turns it
 * into zeros for that map, and counts a fault. A private page there is lost, too.
 *
 * @module
 */

import { Buffer } from "node:buffer";

/** What is compared of an error: the name of its class, and its code if it has one. */
export interface Failure {
  readonly name: string;
  readonly code: string | undefined;
}

/** Thrown by the model where the library must throw. */
export class Refusal extends Error {
  readonly failure: Failure;

  constructor(name: string, code?: string) {
    super(code ?? name);
    this.failure = { name, code };
  }
}

/** For a value out of range. */
export const rangeError = (): Refusal => new Refusal("RangeError");
/** For a value of the wrong kind. */
export const typeError = (): Refusal => new Refusal("TypeError");
const overlap = () => new Refusal("OverlapError", "ERR_MEMMAP_OVERLAP");
const deleted = () => new Refusal("DeletedSliceError", "ERR_MEMMAP_DELETED");
const closed = () => new Refusal("ClosedError", "ERR_MEMMAP_CLOSED");
const readonly = () => new Refusal("ReadonlyError", "ERR_MEMMAP_READONLY");
const conflict = () => new Refusal("ConflictError", "ERR_MEMMAP_CONFLICT");
const busy = () => new Refusal("BusyError", "ERR_MEMMAP_BUSY");
const fault = () => new Refusal("FaultError", "ERR_MEMMAP_FAULT");
const system = (code: string) => new Refusal("SystemError", code);

/** More than any address space can hold. */
const NO_MEMORY = 2 ** 50;
/** Bytes that a commit writes at a time. */
const BLOCK = 4096;

function checkCount(count: unknown): number {
  if (!Number.isSafeInteger(count) || count as number < 0) throw rangeError();
  return count as number;
}

/** An offset within `length` bytes. Negative ones count from the end. */
export function within(offset: unknown, length: number): number {
  if (!Number.isSafeInteger(offset)) throw rangeError();
  const at = offset as number < 0 ? offset as number + length : offset;
  if (at as number < 0 || at as number > length) throw rangeError();
  return at as number;
}

function rangeWithin(
  begin: unknown,
  end: unknown,
  length: number,
): [from: number, to: number] {
  const from = within(begin, length);
  const to = within(end, length);
  if (from > to) throw rangeError();
  return [from, to];
}

/** The bytes to insert. Too many are an error only when they are needed. */
function contentOf(content: unknown): () => Uint8Array {
  if (typeof content === "number") {
    const count = checkCount(content);
    return () => {
      if (count >= NO_MEMORY) throw system("ENOMEM");
      return new Uint8Array(count);
    };
  }
  const bytes = bytesOf(content);
  return () => bytes;
}

function bytesOf(content: unknown): Uint8Array {
  if (content instanceof ArrayBuffer) return new Uint8Array(content).slice();
  if (!ArrayBuffer.isView(content)) throw typeError();
  const { buffer, byteOffset, byteLength } = content;
  return new Uint8Array(buffer, byteOffset, byteLength).slice();
}

/** The bytes that numbers come to. */
function numbersOf(source: unknown): Uint8Array {
  if (source === null || source === undefined) throw typeError();
  return source instanceof ArrayBuffer
    ? new Uint8Array(source)
    : Uint8Array.from(source as ArrayLike<number>);
}

/** Something that can be searched: a map or a slice. */
interface Searched {
  use(): void;
  readonly byteLength: number;
  checkFaults(): void;
  peek(begin: number, end: number): Uint8Array;
  meetPerhaps(begin: number, end: number): void;
}

function search(
  searched: Searched,
  pattern: unknown,
  begin: unknown,
  end: unknown,
  isLast: boolean,
): number {
  searched.use();
  if (typeof pattern !== "string" && !(pattern instanceof Uint8Array)) {
    throw typeError();
  }
  const [from, to] = rangeWithin(begin, end, searched.byteLength);
  const wanted = Buffer.from(pattern as string);
  if (wanted.length === 0) return isLast ? to : from;
  if (wanted.length > to - from) return -1;
  searched.checkFaults();
  const bytes = Buffer.from(searched.peek(from, to));
  const found = isLast ? bytes.lastIndexOf(wanted) : bytes.indexOf(wanted);
  // The search ends at the first match, and may skip bytes.
  searched.meetPerhaps(from, to);
  return found === -1 ? -1 : found + from;
}

/** Like `Buffer.concat`, but returns a Uint8Array, whose slice() copies. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const result = new Uint8Array(
    parts.reduce((sum, { length }) => sum + length, 0),
  );
  let at = 0;
  for (const bytes of parts) {
    result.set(bytes, at);
    at += bytes.length;
  }
  return result;
}

function resized(bytes: Uint8Array, length: number): Uint8Array {
  const result = new Uint8Array(length);
  result.set(bytes.subarray(0, length));
  return result;
}

/** A file, independent of its names. */
export class ModelFile {
  bytes: Uint8Array;
  /** Was something written to the last page beyond the end, where nothing persists? */
  isSoiled = false;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/** A folder, which maps names to files. */
export class ModelFolder {
  readonly files: Map<string, ModelFile> = new Map();
  /** All open maps. */
  readonly maps: Set<ModelMap> = new Set();
  readonly pageSize: number;
  /** Does a process survive the loss of pages? */
  readonly isGuarded: boolean;

  constructor(pageSize: number, isGuarded: boolean) {
    this.pageSize = pageSize;
    this.isGuarded = isGuarded;
  }

  /** Replaces a file's bytes. If there are fewer, maps lose the pages beyond them. */
  put(file: ModelFile, bytes: Uint8Array): void {
    file.bytes = bytes;
    for (const map of this.maps) if (map.file === file) map.losePages();
  }

  linksOf(file: ModelFile): number {
    return [...this.files.values()].filter((other) => other === file).length;
  }

  /** Would a cut of `file` to `length` bytes kill a map other than `except`? */
  isMappedBeyond(file: ModelFile, length: number, except?: ModelMap): boolean {
    return !this.isGuarded &&
      [...this.maps].some((map) =>
        map !== except && map.file === file && map.mappedLength > length
      );
  }
}

/** A view that was handed out. */
export class ModelView {
  readonly slice: ModelSlice;
  /** `"perhaps"` if the view may stay attached or not. */
  alive: boolean | "perhaps" = true;
  /** Does it show bytes that nobody else sees, until a flush that is under way ends? */
  isPrivate = false;

  constructor(slice: ModelSlice) {
    this.slice = slice;
  }
}

type ShortMode = "r" | "c" | "r+" | "w+";

/** The short name of a mode. */
function shortMode(mode: unknown): ShortMode {
  const short = ["r", "c", "r+", "w+"];
  const long = ["readonly", "copyonwrite", "readwrite", "write"];
  const name = short[long.indexOf(mode as string)] ?? mode;
  if (!short.includes(name as string)) throw typeError();
  return name as ShortMode;
}

/** One stretch of a map, like the public `LayoutEntry`. */
export interface ModelPiece {
  readonly slice: ModelSlice | null;
  readonly state: "gap" | "mapped" | "floating";
  readonly begin: number;
  readonly end: number;
  readonly offset: number;
  readonly length: number;
}

/** A flush that is possible. */
export interface ModelFlush {
  readonly strategy: "none" | "extend" | "in-place" | "replace";
  readonly bytesWritten: number;
  readonly pieces: readonly ModelPiece[];
  readonly content: Uint8Array;
  /** Does it write the pages of an atomic map, and at most append to its file? */
  readonly isCommit: boolean;
  /** The name that it writes to, if that is another file. */
  readonly path: string | undefined;
}

/** The options of a flush, like the public `FlushOptions`. */
export interface ModelFlushOptions {
  readonly path?: string | undefined;
  readonly strategy?: string | undefined;
  readonly onProgress?: unknown;
}

/** Is what is mapped elsewhere after it, or not to be written to until then? */
function goesElsewhere({ strategy, isCommit }: ModelFlush): boolean {
  return strategy === "replace" || isCommit;
}

/** A map. */
export class ModelMap {
  readonly folder: ModelFolder;
  readonly isAtomic: boolean;
  name: string;
  mode: ShortMode;
  file: ModelFile;
  mappedLength: number;
  /** The file's length when the map was opened or last flushed. */
  knownLength: number;
  /** In file order. */
  slices: ModelSlice[] = [];
  /** What was appended since the last flush. */
  tail: Uint8Array = new Uint8Array(0);
  isClosed = false;
  /**
   * Was a lost page touched? If only the library can know, `"perhaps"`. Then the
   * library is asked when it matters.
   */
  isFaulted: boolean | "perhaps" = false;
  /** Asks the library whether one was. */
  askFaults: () => boolean = () => false;
  /** The same for what was pending in an atomic map whose pages were lost. */
  askDirty: () => boolean = () => false;
  /** No page below this offset was lost since the file was mapped. */
  keptLength: number = Infinity;
  /** Was something written to lost pages? Then they may hold more than zeros. */
  isStrayed = false;
  /** Was a view moved away? What cannot be detached affects which views stay attached. */
  isStolen = false;
  /** A flush that is under way while the map is read, and whether it counts already. */
  saving: { readonly plan: ModelFlush; hasCommitted: boolean } | null = null;
  /** In `r` and `c`, and in atomic maps, the pages that were written to. */
  #ownPages = new Map<number, Uint8Array>();

  constructor(
    folder: ModelFolder,
    name: string,
    mode: unknown = "r+",
    length?: unknown,
    create?: boolean,
    atomic?: boolean,
  ) {
    this.mode = shortMode(mode);
    if ((create || atomic) && this.mode !== "r+") throw typeError();
    this.isAtomic = atomic === true;
    if (length === undefined) {
      if (this.mode === "w+") throw typeError();
    } else checkCount(length);
    if (name === "" || name.includes("\0")) throw typeError();
    this.folder = folder;
    this.name = name;
    const there = folder.files.get(name);
    if (there === undefined && this.mode !== "w+" && !create) {
      throw system("ENOENT");
    }
    const file = there ?? new ModelFile(new Uint8Array(0));
    const before = file.bytes.length;
    this.file = file;
    this.mappedLength = length as number ?? before;
    if (this.mappedLength > before && !this.#isWritable) throw rangeError();
    if (this.mappedLength >= NO_MEMORY) throw system("ENOMEM");
    folder.files.set(name, file);
    if (this.mode === "w+") folder.put(file, new Uint8Array(0));
    if (this.mappedLength > file.bytes.length) {
      folder.put(file, resized(file.bytes, this.mappedLength));
    }
    this.knownLength = file.bytes.length;
    folder.maps.add(this);
  }

  get writable(): boolean {
    this.use();
    return this.#isWritable;
  }

  get length(): number {
    this.use();
    return this.layout().reduce((sum, { length }) => sum + length, 0);
  }

  get dirty(): boolean {
    this.use();
    if (this.#isResized) return true;
    if (!this.isAtomic) return false;
    return this.isFaulted === true ? this.askDirty() : this.#ownPages.size > 0;
  }

  get #isResized(): boolean {
    return this.tail.length > 0 ||
      this.slices.some(({ floating }) => floating !== null);
  }

  /**
   * Was the file of an atomic map cut, so that nobody but the library knows whether
   * something had been written to what was lost?
   */
  get isUnknown(): boolean {
    return this.isAtomic && !this.isClosed && !this.#isResized &&
      this.#ownPages.size === 0 && this.file.bytes.length < this.knownLength;
  }

  /** How many bytes are mapped, in any state. */
  get byteLength(): number {
    return this.mappedLength;
  }

  get #isWritable(): boolean {
    return this.mode === "r+" || this.mode === "w+";
  }

  /** Are the mapped bytes the file's own? */
  get #isShared(): boolean {
    return this.#isWritable && !this.isAtomic;
  }

  /** Which bytes of an atomic map were written, by whole pages. */
  modified(
    begin: unknown = 0,
    end: unknown = this.mappedLength,
  ): { begin: number; end: number }[] {
    this.use();
    if (!this.isAtomic) throw typeError();
    const [from, to] = rangeWithin(begin, end, this.mappedLength);
    const { pageSize } = this.folder;
    const ranges: { begin: number; end: number }[] = [];
    for (const page of [...this.#ownPages.keys()].sort((a, b) => a - b)) {
      const first = Math.max(page * pageSize, from);
      const last = Math.min((page + 1) * pageSize, to);
      if (first >= last) continue;
      const before = ranges.at(-1);
      if (before?.end === first) before.end = last;
      else ranges.push({ begin: first, end: last });
    }
    return ranges;
  }

  revert(begin: unknown = 0, end: unknown = this.mappedLength): void {
    this.use();
    if (!this.isAtomic) throw typeError();
    this.idle();
    const [from, to] = rangeWithin(begin, end, this.mappedLength);
    const { pageSize } = this.folder;
    for (const [page, own] of [...this.#ownPages]) {
      const at = page * pageSize;
      const first = Math.max(at, from);
      const last = Math.min(at + pageSize, to);
      if (first >= last) continue;
      const isWhole = first === at &&
        (last === at + pageSize || last === this.mappedLength);
      if (isWhole) this.#ownPages.delete(page);
      else own.set(this.file.bytes.subarray(first, last), first - at);
    }
  }

  /**
   * Takes over which pages were written, where the library alone knows: what is written
   * and is the same may count, or not. Returns whether they differ otherwise.
   */
  settlePages(written: readonly { begin: number; end: number }[]): boolean {
    const { pageSize } = this.folder;
    const real = new Set<number>();
    for (const { begin, end } of written) {
      for (let at = begin; at < end; at += pageSize) {
        real.add(Math.floor(at / pageSize));
      }
    }
    for (const page of real) {
      if (this.#ownPages.has(page)) continue;
      const at = page * pageSize;
      const own = this.file.bytes.subarray(at, at + pageSize);
      this.#ownPages.set(page, resized(own, pageSize));
    }
    for (const [page, own] of [...this.#ownPages]) {
      if (real.has(page)) continue;
      const at = page * pageSize;
      const there = this.file.bytes.subarray(
        at,
        Math.min(at + pageSize, this.mappedLength),
      );
      if (Buffer.compare(own.subarray(0, there.length), there) !== 0) {
        return false;
      }
      this.#ownPages.delete(page);
    }
    return true;
  }

  /** What a commit would write: the blocks of its pages that differ. */
  #differing(): number {
    let bytes = 0;
    for (const { begin, end } of this.modified()) {
      for (let at = begin; at < end; at += BLOCK) {
        const to = Math.min(at + BLOCK, end);
        const there = this.file.bytes.subarray(at, to);
        if (Buffer.compare(this.peek(at, to), there) !== 0) bytes += to - at;
      }
    }
    return bytes;
  }

  use(): void {
    if (this.isClosed) throw closed();
  }

  edit(): void {
    this.idle();
    if (this.mode === "r") throw readonly();
  }

  /** As {@linkcode use}, by who changes what is registered, or the file. */
  idle(): void {
    this.use();
    if (this.saving !== null) throw busy();
  }

  /** Throws if a lost page was touched: then every use of the file's bytes is an error. */
  checkFaults(): void {
    if (this.isFaulted === true) throw fault();
  }

  /** Asks the library for what only it can know. */
  settleFaults(): void {
    if (this.isFaulted === "perhaps") this.isFaulted = this.askFaults();
  }

  /** Notes an access. Throws if it touched a lost page, or if an earlier one is now known. */
  meet(begin: number, end: number): void {
    if (this.isLost(begin, end)) this.isFaulted = true;
    this.settleFaults();
    this.checkFaults();
  }

  /** Notes a copy of content. Throws if that was a view of this file with lost pages. */
  meetContent(): void {
    if (this.isFaulted !== "perhaps") return;
    this.settleFaults();
    this.checkFaults();
  }

  /** As {@linkcode meet}, for bytes of which not all need have been accessed. */
  meetPerhaps(begin: number, end: number): void {
    if (this.isLost(begin, end)) this.isFaulted ||= "perhaps";
    this.settleFaults();
    this.checkFaults();
  }

  /** Has the file lost a page of these bytes? */
  isLost(begin: number, end: number): boolean {
    return begin < end && end > this.pagesEnd;
  }

  /** Was a page of these bytes lost, and has come back? After a fault it may hold either. */
  isUnsure(begin: number, end: number): boolean {
    return this.isFaulted === true && end > this.keptLength &&
      begin < this.pagesEnd;
  }

  /** The end of the file's last page. */
  get pagesEnd(): number {
    const { pageSize } = this.folder;
    return Math.ceil(this.file.bytes.length / pageSize) * pageSize;
  }

  /** Notes that the file may have become shorter. */
  losePages(): void {
    const end = this.pagesEnd;
    this.keptLength = Math.min(this.keptLength, end);
    for (const page of [...this.#ownPages.keys()]) {
      if (page * this.folder.pageSize >= end) this.#ownPages.delete(page);
    }
  }

  /** What the API reads there. */
  look(begin: number, end: number): Uint8Array {
    this.checkFaults();
    this.meet(begin, end);
    return this.peek(begin, end);
  }

  /** As {@linkcode look}, with zeros for lost bytes, and without counting as an access. */
  peek(begin: number, end: number): Uint8Array {
    const bytes = resized(this.file.bytes.subarray(begin, end), end - begin);
    const { pageSize } = this.folder;
    for (const [page, own] of this.#ownPages) {
      const at = page * pageSize;
      const from = Math.max(at, begin);
      const to = Math.min(at + pageSize, end);
      if (from < to) bytes.set(own.subarray(from - at, to - at), from - begin);
    }
    return bytes;
  }

  /** Writes as the API does. */
  put(at: number, bytes: Uint8Array): void {
    this.checkFaults();
    this.poke(at, bytes);
    this.meet(at, at + bytes.length);
  }

  read(begin: unknown = 0, end: unknown = this.mappedLength): Uint8Array {
    this.use();
    return this.look(...rangeWithin(begin, end, this.mappedLength));
  }

  write(source: unknown, offset: unknown): void {
    this.edit();
    const bytes = numbersOf(source);
    const at = within(offset, this.mappedLength);
    if (at + bytes.length > this.mappedLength) throw rangeError();
    this.put(at, bytes);
    this.meetContent();
  }

  /** Writes like a view, which can write to lost pages without an error. */
  poke(at: number, bytes: Uint8Array): void {
    const end = at + bytes.length;
    if (this.isLost(at, end)) this.isFaulted = this.isStrayed = true;
    const { length } = this.file.bytes;
    if (this.#isShared) {
      this.file.isSoiled ||= end > length;
      this.file.bytes.set(
        bytes.subarray(0, Math.max(length - at, 0)),
        Math.min(at, length),
      );
      return;
    }
    const { pageSize } = this.folder;
    const last = Math.min(end, this.pagesEnd);
    for (let from = at; from < last;) {
      const page = Math.floor(from / pageSize);
      const begin = page * pageSize;
      const to = Math.min(begin + pageSize, end);
      let own = this.#ownPages.get(page);
      if (own === undefined) {
        own = resized(
          this.file.bytes.subarray(begin, begin + pageSize),
          pageSize,
        );
        this.#ownPages.set(page, own);
      }
      own.set(bytes.subarray(from - at, to - at), from - begin);
      from = to;
    }
  }

  slice(begin: unknown = 0, end: unknown = this.mappedLength): ModelSlice {
    this.use();
    const [from, to] = rangeWithin(
      begin,
      end,
      this.mappedLength,
    );
    this.idle();
    return this.#register(new ModelSlice(this, from, to, null));
  }

  insert(offset: unknown, content: unknown): ModelSlice {
    this.edit();
    const read = contentOf(content);
    const at = within(offset, this.mappedLength);
    const bytes = read();
    this.meet(0, 0); // the content may have been a view with lost pages
    return this.#register(new ModelSlice(this, at, at, bytes));
  }

  append(content: unknown): void {
    this.edit();
    const bytes = contentOf(content)();
    this.meet(0, 0); // as with insert
    this.tail = joined([this.tail, bytes]);
  }

  #register(slice: ModelSlice): ModelSlice {
    const { begin, end } = slice;
    for (const other of this.slices) {
      const isOneEmpty = begin === end || other.begin === other.end;
      const isOverlap = isOneEmpty
        ? (other.begin < begin && end < other.end) ||
          (begin < other.begin && other.end < end)
        : begin < other.end && other.begin < end;
      if (isOverlap) throw overlap();
    }
    // After all slices that begin before it, and the empty ones that begin with it.
    let at = 0;
    while (at < this.slices.length) {
      const other = this.slices[at]!;
      if (other.begin > begin) break;
      if (other.begin === begin && other.end > begin) break;
      at++;
    }
    this.slices.splice(at, 0, slice);
    return slice;
  }

  delete(sliceOrBegin: unknown, end?: unknown): void {
    this.use();
    if (sliceOrBegin instanceof ModelSlice) {
      if (sliceOrBegin.map !== this) throw rangeError();
      return sliceOrBegin.delete();
    }
    const [from, to] = rangeWithin(sliceOrBegin, end, this.mappedLength);
    const found = this.slices.find((s) => s.begin === from && s.end === to);
    if (found === undefined) throw rangeError();
    found.delete();
  }

  find(
    pattern: unknown,
    begin: unknown = 0,
    end: unknown = this.mappedLength,
  ): number {
    return search(this, pattern, begin, end, false);
  }

  rfind(
    pattern: unknown,
    begin: unknown = 0,
    end: unknown = this.mappedLength,
  ): number {
    return search(this, pattern, begin, end, true);
  }

  move(target: unknown, source: unknown, count: unknown): void {
    this.edit();
    const length = checkCount(count);
    const to = within(target, this.mappedLength);
    const from = within(source, this.mappedLength);
    rangeWithin(to, to + length, this.mappedLength);
    rangeWithin(from, from + length, this.mappedLength);
    this.checkFaults();
    this.poke(to, this.peek(from, from + length));
    this.meet(to, to + length);
    this.meet(from, from + length);
  }

  advise(
    advice: unknown,
    begin: unknown = 0,
    end: unknown = this.mappedLength,
  ): void {
    this.use();
    const known = [
      ...["normal", "random", "sequential", "willneed", "dontneed"],
      ...["hugepage", "cold", "pageout"],
    ];
    if (!known.includes(advice as string)) throw typeError();
    const [from, to] = rangeWithin(begin, end, this.mappedLength);
    const isKept = this.mode === "c" || this.isAtomic;
    if (advice === "dontneed" && isKept) return;
    if (from < to) this.checkFaults();
    if (advice !== "dontneed" || this.mode !== "r") return;
    // Stray writes to a page of mode "r" were not meant to stay.
    const { pageSize } = this.folder;
    for (const page of [...this.#ownPages.keys()]) {
      const isWithin = page * pageSize < to && (page + 1) * pageSize > from;
      if (isWithin && from < to) this.#ownPages.delete(page);
    }
  }

  /** May it be asked? What the share is, nobody knows but the system. */
  residency(begin: unknown = 0, end: unknown = this.mappedLength): void {
    this.use();
    const [from, to] = rangeWithin(begin, end, this.mappedLength);
    if (from < to) this.checkFaults();
  }

  sync(begin: unknown = 0, end: unknown = this.mappedLength): void {
    if (!this.writable) throw readonly();
    rangeWithin(begin, end, this.mappedLength);
    this.idle();
    this.checkFaults();
  }

  layout(): ModelPiece[] {
    this.use();
    const pieces: ModelPiece[] = [];
    let at = 0;
    let offset = 0;
    const add = (slice: ModelSlice | null, begin: number, end: number) => {
      const length = slice === null ? end - begin : slice.length;
      const state = slice === null
        ? "gap"
        : slice.floating === null
        ? "mapped"
        : "floating";
      if (slice !== null || length > 0) {
        pieces.push({ slice, state, begin, end, offset, length });
      }
      at = end;
      offset += length;
    };
    for (const slice of this.slices) {
      add(null, at, slice.begin);
      add(slice, slice.begin, slice.end);
    }
    add(null, at, this.mappedLength);
    const { length } = this.tail;
    if (length > 0) {
      const end = this.mappedLength;
      const state = "floating";
      pieces.push({ slice: null, state, begin: end, end, offset, length });
    }
    return pieces;
  }

  /** What others did to the file. */
  get stale(): "no" | "grown" | "cut" | "replaced" | "unlinked" {
    this.use();
    const there = this.folder.files.get(this.name);
    if (there === undefined) return "unlinked";
    if (there !== this.file) return "replaced";
    const grown = there.bytes.length - this.knownLength;
    return grown === 0 ? "no" : grown > 0 ? "grown" : "cut";
  }

  /** Follows what others did. */
  refresh(): boolean {
    const { stale, folder } = this; // uses the map
    this.settleFaults();
    if (stale === "no" && !this.isFaulted) return false;
    const there = folder.files.get(this.name);
    if (this.dirty || there === undefined) throw conflict();
    const size = there.bytes.length;
    const isWhole = this.mappedLength === this.knownLength;
    const length = isWhole ? size : Math.min(this.mappedLength, size);
    if (this.slices.some(({ end }) => end > length)) throw conflict();
    if (this.mode === "c") {
      this.checkFaults();
      const known = Math.min(this.mappedLength, this.file.bytes.length);
      const before = this.file.bytes.subarray(0, known);
      if (Buffer.compare(this.peek(0, known), before) !== 0) throw conflict();
    }
    const mayStay = stale !== "replaced" && this.#isShared && !this.isFaulted;
    for (const slice of this.slices) {
      slice.dropViews(mayStay ? "perhaps" : slice.length === 0 && "perhaps");
    }
    if (!mayStay) this.isStolen = this.isStrayed = false;
    this.file = there;
    this.mappedLength = length;
    this.knownLength = size;
    this.isFaulted = false;
    this.keptLength = Infinity;
    this.#ownPages.clear();
    return true;
  }

  /** Plans a flush, or throws if there can be none. Changes nothing. */
  planFlush(options: ModelFlushOptions = {}): ModelFlush {
    const { path, strategy = "auto", onProgress } = options;
    if (!["auto", "replace", "in-place"].includes(strategy)) throw typeError();
    if (onProgress !== undefined && typeof onProgress !== "function") {
      throw typeError();
    }
    if (path !== undefined && (path === "" || path.includes("\0"))) {
      throw typeError();
    }
    this.idle();
    this.checkFaults();
    const pieces = this.layout();
    const { folder, file, knownLength, mappedLength } = this;
    if (path === undefined) {
      if (!this.#isWritable) throw readonly();
      if (!this.dirty) {
        const content = file.bytes;
        const [strategy, isCommit] = ["none", false] as const;
        return { strategy, bytesWritten: 0, pieces, content, isCommit, path };
      }
    } else if (strategy === "in-place") throw typeError();
    const target = path === undefined ? file : folder.files.get(path);
    // Its own file under any name, or whatever file has its name now.
    const isHome = target === file ||
      (target !== undefined && path === this.name);
    if (
      file.bytes.length < knownLength ||
      (isHome &&
        (folder.files.get(this.name) !== file ||
          file.bytes.length !== knownLength))
    ) throw conflict();
    if (this.isAtomic && strategy === "in-place") throw typeError();
    const behind = file.bytes.slice(mappedLength, knownLength);
    const content = joined([
      ...pieces.map((piece) => this.#contentOf(piece)),
      behind,
    ]);
    const hasWritten = this.isAtomic && this.#ownPages.size > 0;
    const isCommit = hasWritten && strategy === "auto" && path === undefined &&
      content.length >= knownLength &&
      pieces.every(({ state, begin, offset, length }) =>
        state === "floating"
          ? length === 0 || offset >= knownLength
          : begin === offset
      );
    const done = strategy === "in-place" || isCommit
      ? "in-place"
      : !hasWritten && strategy === "auto" && path === undefined &&
          this.#canExtend(pieces)
      ? "extend"
      : "replace";
    if (done === "replace" && target !== undefined) {
      if (folder.linksOf(target) > 1) throw system("EMLINK");
    }
    const isMoved = content.length - behind.length !== mappedLength;
    const bytesWritten = isCommit
      ? this.#differing() + content.length - knownLength
      : done === "replace"
      ? content.length
      : done === "extend"
      ? Math.max(content.length - knownLength, 0)
      : pieces
        .filter(({ state, begin, offset }) =>
          state === "floating" || begin !== offset
        )
        .reduce((sum, { length }) => sum + length, 0) +
        (isMoved ? behind.length : 0);
    return { strategy: done, bytesWritten, pieces, content, isCommit, path };
  }

  #contentOf({ slice, state, begin, end }: ModelPiece): Uint8Array {
    if (slice === null && state === "floating") return this.tail;
    if (slice !== null && slice.floating !== null) return slice.floating;
    // Stray writes to a private page of mode "r" are not saved.
    return this.mode === "r"
      ? this.file.bytes.slice(begin, end)
      : this.look(begin, end);
  }

  /** Can every byte of the file that remains stay where it is, unchanged? */
  #canExtend(pieces: readonly ModelPiece[]): boolean {
    const { knownLength, mappedLength } = this;
    const last = pieces.at(-1);
    const end = last === undefined ? 0 : last.offset + last.length;
    if (knownLength > mappedLength && end !== mappedLength) return false;
    return pieces.every((piece) => {
      const { slice, state, begin, end, offset, length } = piece;
      if (length === 0) return true;
      if (slice === null && state === "floating") return offset >= knownLength;
      if (slice === null || slice.floating === null) return begin === offset;
      if (offset >= knownLength) return true;
      // Only the last bytes of the file may be extended.
      if (begin !== offset) return false;
      if (length > end - begin && end !== knownLength) return false;
      const kept = Math.min(length, end - begin);
      const before = this.file.bytes.subarray(begin, begin + kept);
      return Buffer.compare(slice.floating.subarray(0, kept), before) === 0;
    });
  }

  /** A flush begins that lets the map be read: which views it takes along. */
  beginSaving(plan: ModelFlush): void {
    this.saving = { plan, hasCommitted: false };
    for (const slice of this.slices) {
      if (slice.floating !== null || goesElsewhere(plan)) {
        slice.dropViews(false);
      }
    }
  }

  /** It counts, as it was planned, with what was written to what stays meanwhile. */
  commitSaving(): void {
    const saving = this.saving!;
    saving.hasCommitted = true;
    let { plan } = saving;
    if (plan.strategy === "extend") {
      const { length } = this.file.bytes;
      const kept = Math.min(length, plan.content.length);
      const content = plan.content.slice();
      content.set(this.file.bytes.subarray(0, kept));
      plan = { ...plan, content };
    }
    this.dropPrivateViews();
    this.finishFlush(plan);
  }

  /** It is over. */
  endSaving(): void {
    this.dropPrivateViews();
    this.saving = null;
  }

  dropPrivateViews(): void {
    for (const { views } of this.slices) {
      for (const view of views) if (view.isPrivate) view.alive = false;
    }
  }

  /** Carries out a planned flush. */
  finishFlush(
    { strategy, pieces, content, isCommit, path }: ModelFlush,
  ): void {
    if (strategy === "none") return;
    if (isCommit) this.#ownPages.clear();
    if (strategy === "replace") {
      const file = new ModelFile(content);
      this.name = path ?? this.name;
      if (path !== undefined) this.mode = "r+";
      this.folder.files.set(this.name, file);
      this.file = file;
      this.#ownPages.clear();
      this.isStolen = false;
    } else this.folder.put(this.file, content);
    // A page of its own, in which the old end lies, has what was appended.
    const { pageSize } = this.folder;
    const page = Math.floor(this.knownLength / pageSize);
    const own = this.isAtomic ? this.#ownPages.get(page) : undefined;
    own?.set(
      content.subarray(this.knownLength, (page + 1) * pageSize),
      this.knownLength % pageSize,
    );
    this.tail = new Uint8Array(0);
    this.keptLength = Infinity;
    this.mappedLength += content.length - this.knownLength;
    this.knownLength = content.length;
    for (const { slice, begin, offset, length } of pieces) {
      if (slice === null) continue;
      const isUnmoved = slice.floating === null && begin === offset;
      const isKept = isUnmoved && strategy !== "replace";
      // An empty slice has no memory that could change.
      const isUnsure = isKept ? this.isStolen : isUnmoved && length === 0;
      slice.dropViews(isUnsure ? "perhaps" : isKept);
      slice.begin = offset;
      slice.end = offset + length;
      slice.floating = null;
    }
  }

  /** Notes a flush that failed half-way. Which views it detached is unspecified. */
  abandonFlush({ strategy, pieces }: ModelFlush): void {
    if (strategy === "replace") return;
    for (const { slice, begin, offset } of pieces) {
      if (begin !== offset || this.isStolen) slice?.dropViews("perhaps");
    }
  }

  close(options: { discard?: boolean } = {}): void {
    if (this.isClosed) return;
    this.idle();
    if (this.#isWritable && !options.discard) {
      this.finishFlush(this.planFlush());
    }
    for (const slice of this.slices) slice.dropViews(false);
    this.isClosed = true;
    this.folder.maps.delete(this);
  }

  toString(): string {
    const about = this.isClosed
      ? "closed"
      : `length=${this.length}, ${this.slices.length} slices`;
    return `<Memmap on file '${this.name}' with mode='${this.mode}', ${about}>`;
  }
}

/** A slice. */
export class ModelSlice {
  readonly map: ModelMap;
  /** Its range in the file as of the last flush. */
  begin: number;
  end: number;
  /** Its bytes, once it was resized or inserted. */
  floating: Uint8Array | null;
  isDeleted = false;
  views: ModelView[] = [];

  constructor(
    map: ModelMap,
    begin: number,
    end: number,
    floating: Uint8Array | null,
  ) {
    this.map = map;
    this.begin = begin;
    this.end = end;
    this.floating = floating;
  }

  /** Bytes, whatever the state. */
  get byteLength(): number {
    return this.length;
  }

  /** The same, under the name that the public method has. */
  get length(): number {
    return this.floating?.length ?? this.end - this.begin;
  }

  get state(): "mapped" | "floating" | "deleted" | "closed" {
    if (this.isDeleted) return "deleted";
    if (this.map.isClosed) return "closed";
    return this.floating === null ? "mapped" : "floating";
  }

  /** Are any of its pages lost? */
  get isLost(): boolean {
    return this.floating === null && this.map.isLost(this.begin, this.end);
  }

  /** Does every use of its bytes throw? */
  get isFaulted(): boolean {
    return this.floating === null && this.map.isFaulted === true;
  }

  use(): this {
    if (this.isDeleted) throw deleted();
    this.map.use();
    return this;
  }

  edit(): this {
    this.use();
    this.map.edit();
    return this;
  }

  /** A view of the bytes. While attached, it shows what {@linkcode peek} returns. */
  view(): ModelView {
    this.use();
    this.checkFaults();
    const view = new ModelView(this);
    const { saving } = this.map;
    view.isPrivate = saving !== null && !saving.hasCommitted &&
      (this.floating !== null || goesElsewhere(saving.plan));
    this.views.push(view);
    return view;
  }

  dropViews(alive: boolean | "perhaps"): void {
    for (const view of this.views) {
      if (view.alive !== false && alive !== true) view.alive = alive;
    }
    if (alive === false) this.views = [];
  }

  // Floating bytes are in memory, and are never lost.

  checkFaults(): void {
    if (this.floating === null) this.map.checkFaults();
  }

  meet(begin: number, end: number): void {
    if (this.floating !== null) return;
    this.map.meet(this.begin + begin, this.begin + end);
  }

  meetPerhaps(begin: number, end: number): void {
    if (this.floating !== null) return;
    this.map.meetPerhaps(this.begin + begin, this.begin + end);
  }

  /** A copy of some of the bytes. */
  read(begin: number, end: number): Uint8Array {
    return this.floating?.slice(begin, end) ??
      this.map.look(this.begin + begin, this.begin + end);
  }

  /** The same, with zeros for lost bytes, and without counting as an access. */
  peek(begin: number = 0, end: number = this.length): Uint8Array {
    return this.floating?.slice(begin, end) ??
      this.map.peek(this.begin + begin, this.begin + end);
  }

  /** Writes within the slice. Callers check whether that is allowed. */
  write(at: number, bytes: Uint8Array): void {
    if (this.floating === null) this.map.put(this.begin + at, bytes);
    else this.floating.set(bytes, at);
  }

  /** Writes like a view. */
  poke(at: number, bytes: Uint8Array): void {
    if (this.floating === null) this.map.poke(this.begin + at, bytes);
    else this.floating.set(bytes, at);
  }

  /** As {@linkcode ModelMap.isUnsure}. */
  isUnsure(begin: number, end: number): boolean {
    return this.floating === null &&
      this.map.isUnsure(this.begin + begin, this.begin + end);
  }

  set(source: unknown, offset: unknown = 0): void {
    this.edit();
    const bytes = numbersOf(source);
    // As with Uint8Array.prototype.set, offsets to write at never count from the end.
    if (typeof offset === "number" && offset < 0) throw rangeError();
    const at = within(offset, this.length);
    if (at + bytes.length > this.length) throw rangeError();
    this.write(at, bytes);
    this.map.meetContent();
  }

  fill(value: number, begin: unknown = 0, end: unknown = this.length): void {
    this.edit();
    const [from, to] = rangeWithin(begin, end, this.length);
    this.write(from, new Uint8Array(to - from).fill(value));
  }

  slice(begin?: number, end?: number): Uint8Array {
    this.use();
    const { byteOffset: from, length } = new Uint8Array(this.length)
      .subarray(begin, end);
    return length === 0 ? new Uint8Array(0) : this.read(from, from + length);
  }

  find(
    pattern: unknown,
    begin: unknown = 0,
    end: unknown = this.length,
  ): number {
    return search(this, pattern, begin, end, false);
  }

  rfind(
    pattern: unknown,
    begin: unknown = 0,
    end: unknown = this.length,
  ): number {
    return search(this, pattern, begin, end, true);
  }

  resize(length: unknown): void {
    this.edit();
    const count = checkCount(length);
    if (count === this.length) return;
    this.#float(count, () => {
      const kept = this.read(0, Math.min(count, this.length));
      return resized(kept, count);
    });
  }

  splice(offset: unknown, deleteCount: unknown, content: unknown = 0): void {
    this.edit();
    const read = contentOf(content);
    const at = within(offset, this.length);
    const count = checkCount(deleteCount);
    rangeWithin(at, at + count, this.length);
    const isHuge = typeof content === "number" && content >= NO_MEMORY;
    const added = isHuge ? new Uint8Array(0) : read();
    if (count === 0 && added.length === 0 && !isHuge) return;
    this.map.meetContent();
    this.#float(isHuge ? NO_MEMORY : this.length, () => {
      const bytes = this.read(0, this.length);
      return joined([
        bytes.subarray(0, at),
        added,
        bytes.subarray(at + count),
      ]);
    });
  }

  #float(length: number, make: () => Uint8Array): void {
    if (length >= NO_MEMORY) {
      // Too late for the views, which may be detached before memory turns out too short.
      this.dropViews("perhaps");
      throw system("ENOMEM");
    }
    this.floating = make();
    this.dropViews(false);
  }

  sync(): void {
    this.use();
    if (!this.map.writable) throw readonly();
    if (this.floating === null) this.map.idle();
    this.checkFaults();
  }

  delete(): void {
    this.use();
    this.map.idle();
    this.isDeleted = true;
    this.dropViews(false);
    this.map.slices = this.map.slices.filter((other) => other !== this);
  }

  toString(): string {
    const { state } = this;
    if (state === "deleted" || state === "closed") {
      return `<MemmapSlice ${state}>`;
    }
    const access = this.map.mode === "r" ? "readonly" : "writable";
    return `<MemmapSlice of length:${this.length} ${access}>`;
  }
}
