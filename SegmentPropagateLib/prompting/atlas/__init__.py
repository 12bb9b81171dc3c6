"""Drafts from finished cases by registration: a template is laid over the new volume, and its masks come along.

    module         what it does
    ------------   ----------------------------------------------------------------------------------
    grid           volumes and masks on one isotropic grid along the patient's axes
    descriptors    self-similarity of a voxel's neighborhood, which survives a change of gray values
    sampling       values between the points of the grid
    placement      where a template lies: all translations at once, by Fourier transform
    orientation    whether it lies the right way round
    deformation    the rest, by discrete search from coarse to fine
    fusion         several starts and templates become one mask, grown along gray values
    judgement      what of it is a draft: found, unsure or not here, key slice, range
    second_look    another way to lay a template, pinned by what was found
    opinions       the drafts of a label: at the first look, and at the second where that is unsure
    source         the prompt source

Arrays of this package are `(s, a, r)`: toward the patient's head, front and right; one step is 3 mm.
"""
