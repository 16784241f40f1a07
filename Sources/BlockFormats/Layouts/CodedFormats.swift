/// The layout of a type whose codes matmuls use, by ggml's number of the type; nil for all other
/// types, which are dequantized first.
///
/// A switch rather than a table: kernels may not call the standard library's generic functions,
/// whose code targets for different CPUs would share.
func codedFormat(ggmlType: UInt32) -> (any CodedFormat.Type)? {
  switch ggmlType {
  case Q4_0.ggmlType: Q4_0.self
  case Q4_1.ggmlType: Q4_1.self
  case Q5_0.ggmlType: Q5_0.self
  case Q5_1.ggmlType: Q5_1.self
  case Q8_0.ggmlType: Q8_0.self
  case Q2_K.ggmlType: Q2_K.self
  case Q3_K.ggmlType: Q3_K.self
  case Q4_K.ggmlType: Q4_K.self
  case Q5_K.ggmlType: Q5_K.self
  case Q6_K.ggmlType: Q6_K.self
  case IQ4_NL.ggmlType: IQ4_NL.self
  case IQ4_XS.ggmlType: IQ4_XS.self
  default: nil
  }
}
