"""How two persons share a network: DF's two decoders, LIAE's two inters.

DeepFaceLab paper (arXiv 2005.05535), section 3.2, figures 4 and 5. Both implement ``learning.SwapModel``, and
take both persons through the parts that they share in one batch; both have a code to draw from and a mask of
the target's own face (``HasCode``, ``MasksTarget``).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from understudy.learning import Drawing, Reconstruction
from understudy.nn.autoencoder import AutoencoderSettings, Decoder, Encoder, Inter
from understudy.nn.init import init_weights


class DfNetwork(nn.Module):
    """One encoder and one inter for both persons, a decoder for each (figure 4)."""

    def __init__(self, settings: AutoencoderSettings) -> None:
        super().__init__()
        self.resolution = settings.resolution
        self.output_resolution = settings.resolution
        self.encoder = Encoder(settings)
        self.inter = Inter(settings, self.encoder.outputs, settings.ae_dims)
        self.decoder_source = Decoder(settings, settings.ae_dims)
        self.decoder_target = Decoder(settings, settings.ae_dims)
        init_weights(self, settings.init)

    def reconstruct(
        self, source: Float[Tensor, "b 3 r r"], target: Float[Tensor, "c 3 r r"]
    ) -> Reconstruction:
        """Each person through their own decoder."""
        sizes = [len(source), len(target)]
        latent = self.inter.squeeze(self.encoder(torch.cat([source, target])))
        source_latent, target_latent = latent.split(sizes)
        source_code, target_code = self.inter.spread(latent).split(sizes)
        return Reconstruction(
            source=Drawing(*self.decoder_source(source_code)),
            target=Drawing(*self.decoder_target(target_code)),
            codes=(source_code, target_code),
            draw_swap=lambda codes: Drawing(*self.decoder_source(codes[1])),
            latents=(source_latent, target_latent),
        )

    forward = reconstruct

    def swap(
        self, target: Float[Tensor, "b 3 r r"]
    ) -> tuple[Float[Tensor, "b 3 r r"], Float[Tensor, "b 1 r r"]]:
        """The source's face with the target's expression, and its mask."""
        return self.draw(self.code(target))

    def code(self, target: Float[Tensor, "b 3 r r"]) -> Float[Tensor, "b n"]:
        """The few numbers in the inter."""
        return self.inter.squeeze(self.encoder(target))

    def draw(self, code: Float[Tensor, "b n"]) -> tuple[Float[Tensor, "b 3 r r"], Float[Tensor, "b 1 r r"]]:
        """The source's face from the numbers in the inter, and its mask."""
        return self.decoder_source(self.inter.spread(code))

    def target_mask(self, target: Float[Tensor, "b 3 r r"]) -> Float[Tensor, "b 1 r r"]:
        """The mask of the target's own face, by the target's decoder."""
        return self.decoder_target.draw_mask(self.inter(self.encoder(target)))


class LiaeNetwork(nn.Module):
    """One encoder and one decoder for both persons, and two inters (figure 5).

    inter_AB sees both persons, inter_B the target only. What the decoder is given are two codes, the channels
    of one behind those of the other::

        source   inter_AB(source), inter_AB(source)
        target   inter_B(target),  inter_AB(target)
        swap     inter_AB(target), inter_AB(target)
    """

    def __init__(self, settings: AutoencoderSettings) -> None:
        super().__init__()
        self.resolution = settings.resolution
        self.output_resolution = settings.resolution
        self.encoder = Encoder(settings)
        self.inter_AB = Inter(settings, self.encoder.outputs, 2 * settings.ae_dims)
        self.inter_B = Inter(settings, self.encoder.outputs, 2 * settings.ae_dims)
        self.decoder = Decoder(settings, 4 * settings.ae_dims)
        init_weights(self, settings.init)

    def reconstruct(
        self, source: Float[Tensor, "b 3 r r"], target: Float[Tensor, "c 3 r r"]
    ) -> Reconstruction:
        """Each person through their own code."""
        sizes = [len(source), len(target)]
        flat = self.encoder(torch.cat([source, target]))
        latent = self.inter_AB.squeeze(flat)
        source_latent, target_latent = latent.split(sizes)
        source_both, target_both = self.inter_AB.spread(latent).split(sizes)
        target_own = self.inter_B(flat[len(source) :])
        source_code = torch.cat([source_both, source_both], dim=1)
        target_code = torch.cat([target_own, target_both], dim=1)
        face, mask = self.decoder(torch.cat([source_code, target_code]))
        source_face, target_face = face.split(sizes)
        source_mask, target_mask = mask.split(sizes)
        return Reconstruction(
            source=Drawing(source_face, source_mask),
            target=Drawing(target_face, target_mask),
            codes=(source_code, target_code),
            draw_swap=self._draw_swap,
            latents=(source_latent, target_latent),
        )

    forward = reconstruct

    def _draw_swap(self, codes: tuple[Tensor, Tensor]) -> Drawing:
        """The target's code with inter_B's half replaced by a second inter_AB's."""
        both = codes[1].chunk(2, dim=1)[1]
        return Drawing(*self.decoder(torch.cat([both, both], dim=1)))

    def swap(
        self, target: Float[Tensor, "b 3 r r"]
    ) -> tuple[Float[Tensor, "b 3 r r"], Float[Tensor, "b 1 r r"]]:
        """The source's face with the target's expression, and its mask."""
        return self.draw(self.code(target))

    def code(self, target: Float[Tensor, "b 3 r r"]) -> Float[Tensor, "b n"]:
        """The few numbers in inter_AB: the swap has nothing of inter_B."""
        return self.inter_AB.squeeze(self.encoder(target))

    def draw(self, code: Float[Tensor, "b n"]) -> tuple[Float[Tensor, "b 3 r r"], Float[Tensor, "b 1 r r"]]:
        """The source's face from the numbers in inter_AB, and its mask."""
        both = self.inter_AB.spread(code)
        return self.decoder(torch.cat([both, both], dim=1))

    def target_mask(self, target: Float[Tensor, "b 3 r r"]) -> Float[Tensor, "b 1 r r"]:
        """The mask of the target's own face: from inter_B's code and inter_AB's."""
        flat = self.encoder(target)
        return self.decoder.draw_mask(torch.cat([self.inter_B(flat), self.inter_AB(flat)], dim=1))

    def freeze_identity(self, frozen: bool) -> None:
        """Keep inter_AB as it is, or let it learn again; the encoder learns through it in either case.

        DeepFaceLab does so while faces are not warped; its reason, as we read it: what is shown and what is
        wanted are then the same picture, and it is too easy to let AB tell who it is.

        Make the optimiser before: it then knows inter_AB, keeps its memory of it, and passes it over as long
        as it has no gradient.
        """
        self.inter_AB.requires_grad_(not frozen)
        if frozen:
            self.inter_AB.zero_grad(set_to_none=True)
