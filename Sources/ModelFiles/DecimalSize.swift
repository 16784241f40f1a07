/// Bytes as people read them in messages: `1.2 GB`, in powers of a thousand.
package func decimalSize(_ bytes: UInt64) -> String {
  var unit = 0
  var size: UInt64 = 1
  let units = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"]
  while unit + 1 < units.count, bytes / size >= 1000 {
    size *= 1000
    unit += 1
  }
  guard unit > 0 else { return "\(bytes) bytes" }
  let tenths = bytes / (size / 10)
  return "\(tenths / 10).\(tenths % 10) \(units[unit])"
}
