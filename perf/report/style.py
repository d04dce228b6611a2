"""The page's style: light, dark, and on paper."""

_LIGHT = """--ground:#fff;--ink:#1c2127;--faint:#5b6570;--rule:#d9dee3;--first:#1f6fb2;
--second:#c2500a;--limit:#b3261e;--event:#6b3fa0;--held:#e3f4e6;--missed:#fde7e4;--warning:#fff3d6;"""
_DARK = """--ground:#14181d;--ink:#e6eaee;--faint:#9ba6b1;--rule:#343c45;--first:#6cb3ee;
--second:#ff9d5c;--limit:#ff8a80;--event:#c3a2f2;--held:#173820;--missed:#4a1d1a;--warning:#453812;"""

STYLE = (
    f":root{{color-scheme:light dark;{_LIGHT}}}"
    f"@media screen and (prefers-color-scheme:dark){{:root{{{_DARK}}}}}"
    """
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:56rem;margin:0 auto;padding:1rem 1.25rem 4rem}
h1{font-size:1.7rem;margin:1rem 0 .2rem;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--rule)}
p{margin:.3rem 0;overflow-wrap:anywhere}
.verdict,.warning{padding:.6rem .9rem;border-radius:.3rem;margin:.8rem 0;border-left:.4rem solid}
.verdict{font-size:1.15rem;font-weight:600}
.held{background:var(--held);border-color:#2e8b45}
.missed{background:var(--missed);border-color:var(--limit)}
.warning{background:var(--warning);border-color:#b8860b}
.wide{overflow-x:auto}
table{border-collapse:collapse;margin:.6rem 0 1.2rem;font-variant-numeric:tabular-nums}
caption,figcaption{text-align:left;font-weight:600;padding:.3rem 0}
th,td{padding:.25rem .9rem .25rem 0;border-bottom:1px solid var(--rule);vertical-align:top}
th{text-align:left;font-weight:500}
thead th{color:var(--faint);font-size:.88rem}
td:last-child{overflow-wrap:break-word}
td:not(:last-child){white-space:nowrap}
tbody th{overflow-wrap:break-word}
.warning ul{margin:0;padding-left:1.1rem}
summary{cursor:pointer;font-weight:600;padding:.3rem 0}
:focus-visible{outline:3px solid var(--first);outline-offset:2px}
figure{margin:1rem 0 1.4rem;break-inside:avoid}
svg{display:block;width:100%;height:auto}
svg text{fill:var(--ink);font:12px system-ui,sans-serif}
svg .tick{fill:var(--faint)}
svg .name{fill:var(--faint);font-size:12.5px}
.grid{stroke:var(--rule);stroke-width:1}
.axis{stroke:var(--faint);stroke-width:1}
.line{fill:none;stroke-width:2;stroke-linejoin:round}
.line.first{stroke:var(--first)}
.line.second{stroke:var(--second);stroke-dasharray:7 3}
.line.limit{stroke:var(--limit);stroke-width:1.5;stroke-dasharray:2 3}
.line.at{stroke:var(--faint);stroke-width:1.2}
.line.event{stroke:var(--event);stroke-width:1.5;stroke-dasharray:6 3}
.bar.first,.dot.first{fill:var(--first)}
.bar.second,.dot.second{fill:var(--second)}
.dot.limit{fill:var(--limit)}
@media print{main{max-width:none;padding:0}tr,.verdict,.warning{break-inside:avoid}
h2,summary{break-after:avoid}body{font-size:10pt;print-color-adjust:exact}
th,td{padding-top:.1rem;padding-bottom:.1rem}
details::details-content{display:block;content-visibility:visible;height:auto}}
"""
)
