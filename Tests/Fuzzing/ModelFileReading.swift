import BlockFormats
import ModelFiles

extension FuzzedReader {
  func readGGUF(_ bytes: UnsafeRawBufferPointer) throws(BrokenPromise) -> Bool {
    let file = MappedFile(copying: bytes, path: "fuzzed.gguf")
    _ = file.strangeContent
    do throws(ModelFileError) {
      let gguf = try GGUFFile(file)
      for (key, value) in gguf.metadata {
        try expectSame(gguf.value(for: key)?.type == value.type, "a key finds its value")
        try readValue(value, depth: 0)
      }
      try readTensors(gguf.tensors, in: file)
      _ = try gguf.tensorHashes(count: gguf.tensors.records.count)
    } catch {
      return try refused(error)
    }
    return true
  }

  func readSafetensors(_ bytes: UnsafeRawBufferPointer) throws(BrokenPromise) -> Bool {
    let file = MappedFile(copying: bytes, path: "fuzzed.safetensors")
    _ = file.strangeContent
    do throws(ModelFileError) {
      let safetensors = try SafetensorsFile(file)
      let sum = safetensors.tensors.records.reduce(0) { $0 + $1.byteCount }
      try expectSame(sum < file.size, "tensors are smaller than the file")
      try readTensors(safetensors.tensors, in: file)
      _ = try safetensors.tensorHashes()
    } catch {
      return try refused(error)
    }
    return true
  }

  func readSafetensorsIndex(_ bytes: UnsafeRawBufferPointer) throws(BrokenPromise) -> Bool {
    let file = MappedFile(copying: bytes, path: "fuzzed.index.json")
    do throws(ModelFileError) {
      let index = try SafetensorsIndex(file)
      for (_, shard) in index.tensors {
        try expectSame(index.shards.indices.contains(shard), "a tensor lies in a named file")
      }
      for shard in index.shards {
        try expectSame(
          !shard.contains("/") && !shard.isEmpty && shard != "..", "a file is a neighbour")
      }
    } catch {
      return try refused(error)
    }
    return true
  }
}

/// A broken promise cannot be thrown as an error of the reader, which is what is caught there.
private func expectSame(_ holds: Bool, _ promise: StaticString) throws(ModelFileError) {
  guard holds else {
    throw ModelFileError(path: brokenPromise, kind: .malformed, fault: "\(promise)")
  }
}

private let brokenPromise = "broken promise"

private func refused(_ error: ModelFileError) throws(BrokenPromise) -> Bool {
  try expect(error.path != brokenPromise, error.fault)
  try expect(!error.fault.isEmpty, "a refusal tells why")
  try expect(error.path.hasPrefix("fuzzed"), "a refusal names the file")
  return false
}

/// Reads every tensor, in place and as numbers.
private func readTensors(_ table: TensorTable, in file: MappedFile) throws(ModelFileError) {
  for (index, record) in table.records.enumerated() {
    try expectSame(table.index(of: record.name) == index, "a name finds its tensor")
    try expectSame(record.elementCount >= 0 && record.byteCount >= 0, "counts are not negative")
    guard record.byteCount > 0 else { continue }
    let end = record.byteOffset + record.byteCount
    try expectSame(record.byteOffset >= 0 && end <= file.size, "tensors lie in the file")
    readValues(record, UnsafeRawBufferPointer(rebasing: file.bytes[record.byteOffset..<end]))
  }
}

private func readValues(_ record: TensorRecord, _ bytes: UnsafeRawBufferPointer) {
  guard let base = bytes.baseAddress else { return }
  let blocks = record.elementCount / record.type.elementsPerBlock
  _ = record.type.hasNonFinite(base, blocks: blocks)
  guard record.type.isDecodable else { return }
  // Room for exactly as many numbers as there are, on the heap, whose ends AddressSanitizer guards.
  let values = UnsafeMutablePointer<Float>.allocate(capacity: record.elementCount)
  record.type.decode(base, count: record.elementCount, into: values)
  values.deallocate()
}

/// Reads a metadata value in every way that it can be asked.
private func readValue(_ value: GGUFValue, depth: Int) throws(ModelFileError) {
  _ = (value.integer, value.unsigned, value.double, value.decimal, value.bool, value.string)
  if let prefix = value.textPrefix(5), let text = value.string {
    try expectSame(text.utf8.starts(with: prefix.utf8), "a prefix is the beginning of a text")
  }
  guard let elements = value.elements() else { return }
  try expectSame(elements.count == value.elementCount, "an array has as many elements as it says")
  try expectSame(depth < GGUFFile.maximumArrayDepth, "arrays are nested within the limit")
  for element in elements { try readValue(element, depth: depth + 1) }
}
