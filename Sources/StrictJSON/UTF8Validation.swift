extension UnsafeRawBufferPointer {
  /// Whether the bytes are well-formed UTF-8 (Unicode table 3-7), without making a string of them.
  package var isValidUTF8: Bool {
    var index = 0
    while index < count {
      let byte = self[index]
      if byte < 0x80 {
        index &+= 1
        continue
      }
      let (length, lowest, highest): (Int, UInt8, UInt8)
      switch byte {
      case 0xC2...0xDF: (length, lowest, highest) = (2, 0x80, 0xBF)
      case 0xE0: (length, lowest, highest) = (3, 0xA0, 0xBF)
      case 0xED: (length, lowest, highest) = (3, 0x80, 0x9F)
      case 0xE1...0xEF: (length, lowest, highest) = (3, 0x80, 0xBF)
      case 0xF0: (length, lowest, highest) = (4, 0x90, 0xBF)
      case 0xF4: (length, lowest, highest) = (4, 0x80, 0x8F)
      case 0xF1...0xF3: (length, lowest, highest) = (4, 0x80, 0xBF)
      default: return false
      }
      guard index + length <= count, self[index + 1] >= lowest, self[index + 1] <= highest else {
        return false
      }
      for offset in 2..<Swift.max(2, length) where self[index + offset] & 0xC0 != 0x80 {
        return false
      }
      index &+= length
    }
    return true
  }
}
