/// The table's entries at sixteen indices below 16.
///
/// Each target that compiles the folder `Layouts` has its own version of this function.
@inline(__always)
func lookUp(_ indices: SIMD16<UInt8>, in table: SIMD16<Int8>) -> SIMD16<UInt8> {
  var entries = SIMD16<UInt8>()
  withUnsafeBytes(of: table) { table in
    for lane in 0..<16 { entries[lane] = table[Int(indices[lane] & 15)] }
  }
  return entries
}
