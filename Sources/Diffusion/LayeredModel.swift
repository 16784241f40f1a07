/// A model whose denoiser can be run layer by layer.
package protocol LayeredModel: DiffusionModel where Network: LayeredDenoiser {}
