/// One run of tokens that CLIP's encoders read at once, with start, end and padding.
package struct TokenWindow: Sendable, Equatable {
  /// As many as the encoder has positions.
  package var ids: [Int32]
  /// How much each counts; 1 for start, end and padding.
  package var weights: [Float]
}

/// How long prompts are cut into windows for CLIP's encoders.
///
/// Each window is encoded by itself; rows of all windows follow each other, and the vector of the
/// whole prompt is the first window's. A family that takes nothing but that vector needs no other
/// window, and cuts there as diffusers does.
package struct WindowFormat: Sendable, Equatable {
  /// Tokens of a window, start and end among them.
  package var length = 77
  package var start: Int32
  package var end: Int32
  /// What follows the end: the end again for CLIP-L, 0 for the larger encoders.
  package var padding: Int32
  /// The token of a comma, behind which the web UI ends windows rather than within an item.
  package var comma: Int32?
  /// How far before a window's end the web UI looks for a comma.
  package var commaReach = 20

  /// Segments of fewer tokens are not cut by ComfyUI.
  private static let leastCutLength = 8

  package init(start: Int32, end: Int32, padding: Int32, comma: Int32?) {
    self.start = start
    self.end = end
    self.padding = padding
    self.comma = comma
  }

  /// Tokens of a text in a window.
  private var capacity: Int { max(1, length - 2) }

  /// Cuts a prompt into windows, as the program does whose grammar its weights have; without a
  /// grammar there is one window and the rest is dropped, as in diffusers.
  ///
  /// - Parameters:
  ///   - prompt: with how much its pieces count.
  ///   - tokens: of each of its pieces, without start and end.
  /// - Returns: at least one window.
  package func windows(of prompt: WeightedPrompt, tokens: [[Int32]]) -> [TokenWindow] {
    switch prompt.weighting {
    case .off:
      let ids = Array(tokens.joined().prefix(capacity))
      return [closed(ids.map { ($0, 1) })]
    case .a1111: return attentionWindows(prompt, tokens)
    case .comfy: return segmentWindows(prompt, tokens)
    }
  }

  private typealias Weighted = (id: Int32, weight: Float)

  /// A window of some tokens.
  private func closed(_ tokens: [Weighted]) -> TokenWindow {
    let fill = max(0, length - 2 - tokens.count)
    return TokenWindow(
      ids: [start] + tokens.map(\.id) + [end] + Array(repeating: padding, count: fill),
      weights: [1] + tokens.map(\.weight) + Array(repeating: 1, count: fill + 1))
  }

  /// As the web UI does: windows are filled token by token, and end behind a comma that is near.
  ///
  /// - SeeAlso: `tokenize_line` in its `modules/sd_hijack_clip.py`.
  private func attentionWindows(_ prompt: WeightedPrompt, _ tokens: [[Int32]]) -> [TokenWindow] {
    var windows: [TokenWindow] = []
    var open: [Weighted] = []
    var lastComma: Int?
    func close() {
      windows.append(closed(open))
      open = []
      lastComma = nil
    }
    for (piece, ids) in zip(prompt.pieces, tokens) {
      if piece == WeightedText(WeightedPrompt.windowMark, -1) {
        close()
        continue
      }
      for id in ids {
        if id == comma {
          lastComma = open.count
        } else if open.count == capacity, let place = lastComma,
          open.count - place <= commaReach, commaReach > 0
        {
          let moved = Array(open[(place + 1)...])
          open = Array(open[...place])
          close()
          open = moved
        }
        if open.count == capacity { close() }
        open.append((id, Float(piece.weight)))
      }
    }
    if !open.isEmpty || windows.isEmpty { close() }
    return windows
  }

  /// As ComfyUI does: short segments are not cut, but begin a new window.
  ///
  /// - SeeAlso: `tokenize_with_weights` in its `comfy/sd1_clip.py`.
  private func segmentWindows(_ prompt: WeightedPrompt, _ tokens: [[Int32]]) -> [TokenWindow] {
    var windows: [TokenWindow] = []
    var open: [Weighted] = []
    for (piece, ids) in zip(prompt.pieces, tokens) {
      let isCut = ids.count >= min(Self.leastCutLength, capacity)
      var rest: ArraySlice<Weighted> = ids.map { (id: $0, weight: Float(piece.weight)) }[...]
      while !rest.isEmpty {
        if rest.count <= capacity - open.count {
          open += rest
          break
        }
        if isCut {
          let room = capacity - open.count
          open += rest.prefix(room)
          rest = rest.dropFirst(room)
        }
        windows.append(closed(open))
        open = []
      }
    }
    return windows + [closed(open)]
  }
}
