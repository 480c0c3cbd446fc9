"""US dollars as people read them."""

from __future__ import annotations


def shown(dollars: float) -> str:
    """`$0.0123`: a ten-thousandth is what a short answer costs; large sums in cents, smaller ones to three digits. Only nothing is
    `$0.0000`."""
    if 0 < dollars < 0.001:
        return f"${float(f'{dollars:.3g}'):.12f}".rstrip("0")
    return f"${dollars:,.2f}" if dollars >= 100 else f"${dollars:.4f}"
