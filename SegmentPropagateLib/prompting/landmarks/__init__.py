"""The source `landmarks`, MedLAM: finished cases show six landmarks of an organ, a trained localizer finds them again.

module    does
-------   ------------------------------------------------------------------
grid      a volume as the localizer sees it
points    extreme points of a mask, its box, and the parts of a long one
search    the jump to a landmark, and the look around it
supports  what finished cases say of each label
drawing   their outlines in the box that was found
source    all of it, as a `PromptSource`
"""
