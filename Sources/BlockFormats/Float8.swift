/// The two 8-bit floats of PyTorch and ComfyUI, by table.
enum Float8 {
  /// Values of `float8_e4m3fn`: sign, 4 exponent bits of bias 7, 3 mantissa bits; no infinity,
  /// NaN at 0x7F and 0xFF.
  static let e4m3Values: [Float] = (0..<256).map { code in
    let mantissa = Float(code & 7)
    let exponent = (code >> 3) & 15
    let sign: Float = code < 128 ? 1 : -1
    if code & 0x7F == 0x7F { return .nan }
    if exponent == 0 { return sign * mantissa * 0x1p-9 }
    return sign * Float(sign: .plus, exponent: exponent - 7, significand: 1 + mantissa / 8)
  }

  /// Values of `float8_e5m2`: the upper byte of a float16.
  static let e5m2Values: [Float] = (0..<256).map { Float16Bits.float(UInt16($0) << 8) }

  static func decode(
    _ source: UnsafeRawPointer, count: Int, table: [Float],
    into values: UnsafeMutablePointer<Float>
  ) {
    table.withUnsafeBufferPointer { table in
      for index in 0..<count { values[index] = table[Int(source.byte(index))] }
    }
  }
}
